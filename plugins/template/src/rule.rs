//! One `template` directive: which queries it fits, and what it answers.

use std::collections::BTreeSet;

use catena_core::log::TypeName;
use catena_core::message::{CLASS_ANY, QName, Rcode, Request, Zone};
use catena_core::plugin::Fallthrough;
use catena_records::class_name;
use gotmpl::parse::SmolStr;

use crate::pattern::{Groups, Pattern};
use crate::script::Script;

/// The type that stands for all.
pub(crate) const TYPE_ANY: u16 = 255;

/// What one directive says.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) zones: Vec<Zone>,
    pub(crate) class: u16,
    pub(crate) rtype: u16,
    /// The first one that fits counts; there is one at least.
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) answer: Vec<Script>,
    pub(crate) additional: Vec<Script>,
    pub(crate) authority: Vec<Script>,
    pub(crate) rcode: Rcode,
    pub(crate) extended: Option<Extended>,
    pub(crate) fallthrough: Fallthrough,
    /// Whether a template needs the groups of the pattern.
    pub(crate) needs_groups: bool,
    /// The fields that templates name.
    pub(crate) named: BTreeSet<SmolStr>,
}

/// An extended error that goes along with the answer (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// Whether a rule fits a query, and why.
#[derive(Debug)]
pub(crate) enum Fit<'r, 'n> {
    /// It is about other names, classes or types.
    Elsewhere,
    /// None of its patterns is found in the name.
    NoPattern,
    /// It answers.
    Fits {
        /// The place of the longest of its zones that holds the name.
        zone: usize,
        pattern: &'r Pattern,
        groups: Groups<'n>,
    },
}

impl Rule {
    /// Whether the rule fits a query, whose name in lower case is also there as text, once it is asked for.
    pub(crate) fn fit<'n>(&self, request: &Request, name: impl FnOnce() -> &'n str) -> Fit<'_, 'n> {
        if !Self::takes(self.rtype, request.qtype_code(), TYPE_ANY)
            || !Self::takes(self.class, request.qclass_code(), CLASS_ANY)
        {
            return Fit::Elsewhere;
        }
        let Some(zone) = self.longest_zone(request.qname()) else {
            return Fit::Elsewhere;
        };
        let name = name();
        for pattern in &self.patterns {
            let groups = if self.needs_groups {
                pattern.groups(name)
            } else {
                pattern.fits(name).then(|| Groups::whole(name))
            };
            if let Some(groups) = groups {
                return Fit::Fits {
                    zone,
                    pattern,
                    groups,
                };
            }
        }
        Fit::NoPattern
    }

    /// A query for any type, or any class, is taken by each.
    fn takes(mine: u16, asked: u16, any: u16) -> bool {
        mine == any || asked == any || mine == asked
    }

    fn longest_zone(&self, qname: &QName) -> Option<usize> {
        let holding = self
            .zones
            .iter()
            .enumerate()
            .filter(|(_, zone)| qname.is_within(zone));
        holding
            .max_by_key(|(_, zone)| zone.label_count())
            .map(|(place, _)| place)
    }

    /// The name of the class that templates and metrics are told.
    pub(crate) fn class_of(&self, request: &Request) -> &'static str {
        let code = match request.qclass_code() {
            CLASS_ANY => self.class,
            code => code,
        };
        class_name(code).unwrap_or_default()
    }

    /// The name of the type that templates and metrics are told.
    pub(crate) fn type_of(&self, request: &Request) -> &'static str {
        let code = match request.qtype_code() {
            TYPE_ANY => self.rtype,
            code => code,
        };
        TypeName(code).known().unwrap_or_default()
    }
}
