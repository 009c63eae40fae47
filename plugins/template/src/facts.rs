//! What templates are told of a query.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use catena_core::message::Request;
use catena_facts::Surroundings;
use gotmpl::Value;
use gotmpl::parse::SmolStr;

use crate::pattern::{Groups, Pattern};
use crate::script;

/// A query that a rule fits.
pub(crate) struct Facts<'a> {
    /// The longest of the rule's zones that holds the name.
    pub(crate) zone: &'a str,
    /// The name that is asked for, in lower case.
    pub(crate) name: &'a str,
    /// The class that is asked for, or the rule's if any is.
    pub(crate) class: &'static str,
    /// The type that is asked for, or the rule's if any is; empty if it has no name.
    pub(crate) rtype: &'static str,
    /// The pattern that fits.
    pub(crate) pattern: &'a Pattern,
    /// What the pattern's groups found.
    pub(crate) groups: Groups<'a>,
    /// The fields that the rule's templates name: what they are to be told.
    pub(crate) named: &'a BTreeSet<SmolStr>,
    pub(crate) request: &'a Request,
    pub(crate) surroundings: &'a Surroundings,
    /// All of this as templates have it under their dot, once one needs it.
    pub(crate) object: OnceCell<Value>,
}

impl Facts<'_> {
    /// The text of a group, by its name or number.
    pub(crate) fn group(&self, name: &str) -> Option<&str> {
        let place = match self.pattern.names().find(|(known, _)| *known == name) {
            Some((_, place)) => place,
            None => number(name)?,
        };
        self.groups.get(place)
    }

    /// A value of the block's metadata; empty if there is none.
    pub(crate) fn metadata(&self, label: &str) -> String {
        self.surroundings
            .metadata(self.request, label)
            .unwrap_or_default()
    }

    /// All metadata, in the order in which it is given.
    pub(crate) fn all_metadata(&self) -> Vec<(String, String)> {
        self.surroundings.all_metadata(self.request)
    }

    /// What templates have under their dot.
    pub(crate) fn object(&self) -> &Value {
        self.object.get_or_init(|| script::root(self))
    }
}

/// A number as Go prints it: `1`, and not `01` or `+1`.
fn number(text: &str) -> Option<usize> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}
