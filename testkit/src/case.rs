//! Tables of queries with what is to come back.

use catena_core::message::Rcode;

use crate::answer::{Answer, compare};
use crate::query::Query;
use crate::record::Record;

/// Something that can be asked: a server, or a chain of plugins.
pub trait Ask {
    /// Asks, and gives the answer; `None` if the query was dropped.
    fn try_ask(&self, query: &Query) -> Option<Answer>;
}

/// One row of a table: a query, and its answer.
///
/// NOERROR and empty sections are expected unless the case says otherwise. A failure names the case.
///
/// ```
/// use catena_testkit::Case;
///
/// let cases = [
///     Case::new("the address", "a.example.org. A").answer(["a.example.org. 60 IN A 192.0.2.1"]),
///     Case::new("no such type", "a.example.org. MX").flags("aa rd"),
///     Case::new("no such name", "b.example.org. A").rcode("NXDOMAIN"),
/// ];
/// # let _ = cases;
/// ```
#[derive(Clone, Debug)]
pub struct Case {
    name: String,
    query: Query,
    rcode: Rcode,
    flags: Option<String>,
    answer: Section,
    authority: Section,
    additional: Section,
}

#[derive(Clone, Debug)]
enum Section {
    Holds(Vec<Record>),
    Any,
}

impl Section {
    #[track_caller]
    fn parse<I: AsRef<str>>(records: impl IntoIterator<Item = I>) -> Self {
        let parse = |text: I| {
            text.as_ref()
                .parse()
                .unwrap_or_else(|error| panic!("the case expects no record but {error}"))
        };
        Self::Holds(records.into_iter().map(parse).collect())
    }

    fn check(&self, got: &[Record]) -> Result<(), String> {
        match self {
            Self::Holds(expected) => compare(got, expected),
            Self::Any => Ok(()),
        }
    }
}

impl Case {
    /// A case with this name.
    #[track_caller]
    #[must_use]
    pub fn new(name: impl Into<String>, query: impl Into<Query>) -> Self {
        Self {
            name: name.into(),
            query: query.into(),
            rcode: Rcode::NOERROR,
            flags: None,
            answer: Section::Holds(Vec::new()),
            authority: Section::Holds(Vec::new()),
            additional: Section::Holds(Vec::new()),
        }
    }

    /// Expects another RCODE, by its name.
    #[track_caller]
    #[must_use]
    pub fn rcode(mut self, rcode: &str) -> Self {
        self.rcode = Rcode::from_name(rcode).unwrap_or_else(|| panic!("`{rcode}` is no RCODE"));
        self
    }

    /// Expects exactly these flags, of `aa tc rd ra ad cd`. By default they are not compared.
    #[must_use]
    pub fn flags(mut self, flags: &str) -> Self {
        self.flags = Some(flags.to_owned());
        self
    }

    /// Expects exactly these records in the answer section, in any order.
    #[track_caller]
    #[must_use]
    pub fn answer<I: AsRef<str>>(mut self, records: impl IntoIterator<Item = I>) -> Self {
        self.answer = Section::parse(records);
        self
    }

    /// Expects exactly these records in the authority section, in any order.
    #[track_caller]
    #[must_use]
    pub fn authority<I: AsRef<str>>(mut self, records: impl IntoIterator<Item = I>) -> Self {
        self.authority = Section::parse(records);
        self
    }

    /// Expects exactly these records in the additional section, OPT apart, in any order.
    #[track_caller]
    #[must_use]
    pub fn additional<I: AsRef<str>>(mut self, records: impl IntoIterator<Item = I>) -> Self {
        self.additional = Section::parse(records);
        self
    }

    /// Takes whatever stands in the authority and additional sections.
    #[must_use]
    pub fn any_authority_and_additional(mut self) -> Self {
        self.authority = Section::Any;
        self.additional = Section::Any;
        self
    }

    /// Asks, and fails if something else comes back.
    #[track_caller]
    pub fn check(&self, asked: &impl Ask) {
        let Some(answer) = asked.try_ask(&self.query) else {
            panic!("case {}: no answer to {}", self.name, self.query.question());
        };
        if let Err(difference) = self.compare(&answer) {
            panic!("case {}: {difference}\n{answer}", self.name);
        }
    }

    fn compare(&self, answer: &Answer) -> Result<(), String> {
        if answer.rcode() != self.rcode {
            return Err(format!("{} is expected", self.rcode));
        }
        if let Some(flags) = &self.flags {
            let mut expected: Vec<&str> = flags.split_whitespace().filter(|flag| *flag != "qr").collect();
            let got = answer.flags();
            let mut got: Vec<&str> = got.split_whitespace().filter(|flag| *flag != "qr").collect();
            expected.sort_unstable();
            got.sort_unstable();
            if expected != got {
                return Err(format!("the flags `{flags}` are expected"));
            }
        }
        let sections = [
            ("answer", &self.answer, answer.answer()),
            ("authority", &self.authority, answer.authority()),
            ("additional", &self.additional, answer.additional()),
        ];
        for (name, expected, got) in sections {
            expected
                .check(&got)
                .map_err(|difference| format!("{name} section: {difference}"))?;
        }
        Ok(())
    }
}

/// Checks a table of cases one after the other.
#[track_caller]
pub fn check_all<'a>(asked: &impl Ask, cases: impl IntoIterator<Item = &'a Case>) {
    for case in cases {
        case.check(asked);
    }
}
