//! Templates that are text with fields in it, without the crate that runs all others.

use std::fmt::{Display, Write as _};

use gotmpl::parse::{CommandNode, Expr, ListNode, Node, Number, SmolStr};

use super::functions::parse_uint;
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
    Match(usize),
    /// `{{ .Meta "x" }}`
    Meta(Box<str>),
    /// `{{ parseInt .Group.x 16 8 }}`
    ParseInt {
        group: Box<str>,
        base: i64,
        bits: i64,
    },
}

/// Takes a template apart, if it has none but these pieces.
pub(super) fn of(tree: &ListNode) -> Option<Vec<Part>> {
    tree.nodes.iter().map(part).collect()
}

fn part(node: &Node) -> Option<Part> {
    match node {
        Node::Text(text) => Some(Part::Text((*text.text).into())),
        Node::Action(action) if action.pipe.decl.is_empty() => match action.pipe.commands.as_slice() {
            [command] => action_part(command),
            _ => None,
        },
        _ => None,
    }
}

fn action_part(command: &CommandNode) -> Option<Part> {
    match command.args.as_slice() {
        [Expr::Field(_, path)] => field_part(path),
        [Expr::Field(_, path), Expr::String(_, label)] if is(path, &["Meta"]) => {
            Some(Part::Meta((**label).into()))
        }
        [
            Expr::Identifier(_, name),
            Expr::Field(_, path),
            Expr::Number(_, Number::Int(place)),
        ] if name == "index" && is(path, &["Match"]) => Some(Part::Match(usize::try_from(*place).ok()?)),
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
            Self::Group(_) | Self::GroupOrEmpty(_) | Self::Match(_) | Self::ParseInt { .. }
        )
    }

    /// Writes the piece. Errors say what Go says.
    pub(super) fn write(&self, facts: &Facts<'_>, out: &mut String) -> Result<(), String> {
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
            Self::Match(place) => {
                let group = facts.groups.get(*place);
                out.push_str(
                    group.ok_or_else(|| format!("error calling index: index out of range: {place}"))?,
                );
            }
            Self::Meta(label) => out.push_str(&facts.metadata(label)),
            Self::ParseInt { group, base, bits } => {
                let digits = facts.group(group).ok_or("invalid value; expected string")?;
                let number = parse_uint(digits, *base, *bits)
                    .map_err(|cause| format!("error calling parseInt: {cause}"))?;
                show(out, number);
            }
        }
        Ok(())
    }
}

fn show(out: &mut String, value: impl Display) {
    // Writing to a text does not fail.
    let _ = write!(out, "{value}");
}
