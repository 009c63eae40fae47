//! The template language: Go's text/template, with the names and functions that CoreDNS gives it.
//!
//! The crate `gotmpl` parses and runs templates. What Go says about a template at the start and the crate does not is
//! checked in [`structure`] and [`adapt`]; data with fields and methods, which the crate does not know, is brought to it
//! in [`adapt`] and [`objects`]. Most templates are text with some fields in it, and are run without it: [`parts`].

mod adapt;
mod functions;
#[cfg(test)]
mod limits;
mod objects;
mod parts;
mod print;
mod structure;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use gotmpl::Template;
use gotmpl::parse::{DefineNode, ListNode, Parser, SmolStr};

use crate::facts::Facts;
pub(crate) use objects::root;
use parts::Part;

/// Longest text that a template may give, in bytes: what a message can hold of a record's text.
const MAX_OUTPUT: usize = 65_536;

/// Most rounds of all `range` of one run.
const MAX_ROUNDS: u64 = 10_000;

/// A template of one record.
pub(crate) struct Script {
    name: &'static str,
    /// The template as Go prints it: the label of metrics.
    label: String,
    /// The fields that it names, wherever they are found.
    named: BTreeSet<SmolStr>,
    body: Body,
}

enum Body {
    /// Text and what stands for itself in it.
    Parts(Vec<Part>),
    /// Anything else.
    Full(Box<Template>),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ScriptError(String);

/// Why a template gave no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}{place}: executing {name:?} at <{command}>: {cause}")]
pub(crate) struct Failure {
    name: &'static str,
    /// `:LINE:COLUMN`, or nothing where only the whole template is known.
    place: String,
    command: String,
    cause: String,
}

impl Script {
    /// Reads a template; `name` is that of its section.
    pub(crate) fn compile(name: &'static str, source: &str) -> Result<Self, ScriptError> {
        let fail = |error: gotmpl::TemplateError| ScriptError(error.to_string());
        let (mut tree, mut defines) = Parser::with_name(Some(name), source, "{{", "}}")
            .and_then(Parser::parse)
            .map_err(fail)?;
        structure::check(source).map_err(ScriptError)?;
        let label = print::list(&tree, source);
        let parts = if defines.is_empty() {
            parts::of(&tree, source)
        } else {
            None
        };
        let named = adapt::all(&mut tree, &mut defines).map_err(ScriptError)?;
        let body = match parts {
            Some(parts) => Body::Parts(parts),
            None => Body::Full(Box::new(full(name, source, tree, defines).map_err(fail)?)),
        };
        Ok(Self {
            name,
            label,
            named,
            body,
        })
    }

    /// The template as Go prints it.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The fields that it names.
    pub(crate) fn named(&self) -> impl Iterator<Item = &SmolStr> {
        self.named.iter()
    }

    /// Whether it needs the pattern's groups.
    pub(crate) fn needs_groups(&self) -> bool {
        match &self.body {
            Body::Parts(parts) => parts.iter().any(Part::needs_groups),
            Body::Full(_) => ["Group", "Match"].iter().any(|name| self.named.contains(*name)),
        }
    }

    /// Writes what the template gives for a query to `out`, which is emptied first.
    pub(crate) fn render(&self, facts: &Facts<'_>, out: &mut String) -> Result<(), Failure> {
        out.clear();
        match &self.body {
            Body::Parts(parts) => parts.iter().try_for_each(|part| {
                part.write(facts, out).map_err(|(place, cause)| Failure {
                    name: self.name,
                    place: format!(":{}:{}", place.line, place.column),
                    command: place.command.to_string(),
                    cause,
                })
            }),
            Body::Full(template) => template
                .execute_template_fmt(&mut Bounded(out), self.name, facts.object())
                .map_err(|error| Failure {
                    name: self.name,
                    place: String::new(),
                    command: self.label.clone(),
                    cause: error.to_string(),
                }),
        }
    }
}

/// Puts an adapted template together.
fn full(name: &str, source: &str, tree: ListNode, defines: Vec<DefineNode>) -> gotmpl::Result<Template> {
    // Parsed once more, for what the crate checks where there are several templates.
    let mut template = Template::new(name)
        .funcs(functions::all())
        .max_range_iters(MAX_ROUNDS)
        .parse(source)?;
    for define in defines {
        // An empty body does not replace one that is there.
        if !define.body.is_empty_tree() || template.lookup(&define.name).is_none() {
            template = template.add_parse_tree(&define.name, define.body);
        }
    }
    if !tree.is_empty_tree() || template.lookup(name).is_none() {
        template = template.add_parse_tree(name, tree);
    }
    Ok(template)
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({:?})", self.label)
    }
}

/// Takes [`MAX_OUTPUT`] bytes.
struct Bounded<'a>(&'a mut String);

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_OUTPUT {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
