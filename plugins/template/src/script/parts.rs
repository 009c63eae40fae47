//! Templates that are text with fields in it, without the crate that runs all others.

use std::fmt::{Display, Write as _};

use gotmpl::parse::{CommandNode, Expr, ListNode, Node, Number, SmolStr};

use super::functions::parse_uint;
use super::print;
use crate::facts::Facts;

/// What Go prints for a key that a map does not have.
const NO_VALUE: &str = "<no value>";

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(Box<str>),
    Class,
    Name,
    QuestionName,
    Regex,
    Remote,
    Type,
    Zone,
    /// `{{ .Group.x }}`
    Group(Box<str>),
    /// `{{ index .Group "x" }}`, which is empty where there is none.
    GroupOrEmpty(Box<str>),
    /// `{{ index .Match 1 }}`
    Match(usize, Place),
    /// `{{ .Meta "x" }}`
    Meta(Box<str>),
    /// `{{ parseInt .Group.x 16 8 }}`
    ParseInt {
        group: Box<str>,
        base: i64,
        bits: i64,
        place: Place,
    },
}

/// Where a command stands, as Go's errors say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    /// Bytes before it on its line.
    pub(super) column: usize,
    pub(super) command: Box<str>,
}

impl Place {
    fn of(command: &CommandNode, source: &str) -> Self {
        let before = source.get(..command.pos.offset).unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: before.len() - before.rfind('\n').map_or(0, |at| at + 1),
            command: print::command(command, source).into(),
        }
    }
}

/// Takes a template apart, if it has none but these pieces.
pub(super) fn of(tree: &ListNode, source: &str) -> Option<Vec<Part>> {
    tree.nodes.iter().map(|node| part(node, source)).collect()
}

fn part(node: &Node, source: &str) -> Option<Part> {
    match node {
        Node::Text(text) => Some(Part::Text((*text.text).into())),
        Node::Action(action) if action.pipe.decl.is_empty() => match action.pipe.commands.as_slice() {
            [command] => action_part(command, source),
            _ => None,
        },
        _ => None,
    }
}

fn action_part(command: &CommandNode, source: &str) -> Option<Part> {
    match command.args.as_slice() {
        [Expr::Field(_, path)] => field_part(path),
        [Expr::Field(_, path), Expr::String(_, label)] if is(path, &["Meta"]) => {
            Some(Part::Meta((**label).into()))
        }
        [
            Expr::Identifier(_, name),
            Expr::Field(_, path),
            Expr::Number(_, Number::Int(place)),
        ] if name == "index" && is(path, &["Match"]) => {
            let group = usize::try_from(*place).ok()?;
            Some(Part::Match(group, Place::of(command, source)))
        }
        [
            Expr::Identifier(_, name),
            Expr::Field(_, path),
            Expr::String(_, key),
        ] if name == "index" && is(path, &["Group"]) => Some(Part::GroupOrEmpty((**key).into())),
        [
            Expr::Identifier(_, name),
            Expr::Field(_, path),
            Expr::Number(_, Number::Int(base)),
            Expr::Number(_, Number::Int(bits)),
        ] if name == "parseInt" => match path.as_slice() {
            [map, group] if map == "Group" => Some(Part::ParseInt {
                group: group.as_str().into(),
                base: *base,
                bits: *bits,
                place: Place::of(command, source),
            }),
            _ => None,
        },
        _ => None,
    }
}

fn field_part(path: &[SmolStr]) -> Option<Part> {
    let names: Vec<&str> = path.iter().map(SmolStr::as_str).collect();
    Some(match names.as_slice() {
        ["Class"] => Part::Class,
        ["Name"] => Part::Name,
        ["Question", "Name"] => Part::QuestionName,
        ["Regex"] => Part::Regex,
        ["Remote"] => Part::Remote,
        ["Type"] => Part::Type,
        ["Zone"] => Part::Zone,
        ["Group", name] => Part::Group((*name).into()),
        _ => return None,
    })
}

fn is(path: &[SmolStr], names: &[&str]) -> bool {
    path.iter().map(SmolStr::as_str).eq(names.iter().copied())
}

impl Part {
    pub(super) fn needs_groups(&self) -> bool {
        matches!(
            self,
            Self::Group(_) | Self::GroupOrEmpty(_) | Self::Match(..) | Self::ParseInt { .. }
        )
    }

    /// Writes the piece. An error is what Go says, and where.
    pub(super) fn write(&self, facts: &Facts<'_>, out: &mut String) -> Result<(), (&Place, String)> {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Class => out.push_str(facts.class),
            Self::Name => out.push_str(facts.name),
            Self::Regex => out.push_str(facts.pattern.text()),
            Self::Type => out.push_str(facts.rtype),
            Self::Zone => out.push_str(facts.zone),
            Self::QuestionName => show(out, facts.request.name_display()),
            Self::Remote => show(out, facts.request.peer().ip()),
            Self::Group(name) => out.push_str(facts.group(name).unwrap_or(NO_VALUE)),
            Self::GroupOrEmpty(name) => out.push_str(facts.group(name).unwrap_or_default()),
            Self::Match(group, place) => {
                let cause = || (place, format!("error calling index: index out of range: {group}"));
                out.push_str(facts.groups.get(*group).ok_or_else(cause)?);
            }
            Self::Meta(label) => out.push_str(&facts.metadata(label)),
            Self::ParseInt {
                group,
                base,
                bits,
                place,
            } => {
                let missing = || (place, "invalid value; expected string".to_owned());
                let digits = facts.group(group).ok_or_else(missing)?;
                let unreadable = |cause| (place, format!("error calling parseInt: {cause}"));
                show(out, parse_uint(digits, *base, *bits).map_err(unreadable)?);
            }
        }
        Ok(())
    }
}

fn show(out: &mut String, value: impl Display) {
    // Writing to a text does not fail.
    let _ = write!(out, "{value}");
}
