//! Where the plugins of a test come from, and plugins for its end of the chain.

use std::sync::Arc;

use async_trait::async_trait;
use catena_core::config::Registry;
use catena_core::corefile::{ConfigErrors, Directive, Token};
use catena_core::message::{Request, Response};
use catena_core::plugin::{Definition, Next, Outcome, Plugin, PluginError, Setup};

use crate::record::Record;
use crate::wait::Watched;
use crate::zone::ZoneData;

/// What names the plugins that a server under test knows, in their order: a [`Registry`] or definitions.
pub trait Plugins {
    /// The registry.
    fn registry(self) -> Registry;
}

impl Plugins for Registry {
    fn registry(self) -> Registry {
        self
    }
}

impl Plugins for &[Definition] {
    fn registry(self) -> Registry {
        Registry::new(self.iter().copied())
    }
}

impl<const N: usize> Plugins for [Definition; N] {
    fn registry(self) -> Registry {
        Registry::new(self)
    }
}

impl Plugins for Vec<Definition> {
    fn registry(self) -> Registry {
        Registry::new(self)
    }
}

impl Plugins for &Definition {
    fn registry(self) -> Registry {
        Registry::new([*self])
    }
}

/// The plugin `records`, which answers from the records in its block, for the end of a chain in a Corefile:
///
/// ```text
/// records {
///     a.example.org. 60 IN A 192.0.2.1
/// }
/// ```
///
/// It answers as [`Records`] does.
pub static RECORDS: Definition = Definition::new("records", set_up_records);

fn set_up_records(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let mut records = Vec::new();
    for line in setup.directives().iter().flat_map(Directive::options) {
        let words: Vec<String> = line.words().map(quoted).collect();
        let record: Result<Record, _> = words.join(" ").parse();
        records.push(record.map_err(|error| line.error(error.to_string()))?);
    }
    setup.add(Records::of(records));
    Ok(())
}

fn quoted(word: &Token) -> String {
    let text = word.as_str();
    if text.is_empty() || text.contains(char::is_whitespace) {
        format!("\"{text}\"")
    } else {
        text.to_owned()
    }
}

/// A plugin that answers from records, with AA, and remembers what it was asked.
///
/// CNAME chains are followed, unknown names are NXDOMAIN, and denials carry the SOA record of the zone, if there is
/// one. Clones are the same plugin.
#[derive(Clone, Debug)]
pub struct Records {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    zone: ZoneData,
    seen: Watched<Vec<Vec<u8>>>,
}

impl Records {
    /// Records in the form of a zone file, one a line.
    ///
    /// # Panics
    ///
    /// A line is no record.
    #[track_caller]
    #[must_use]
    pub fn new(zone: &str) -> Self {
        Self::of(Record::parse_all(zone).unwrap_or_else(|error| panic!("{error}")))
    }

    fn of(records: Vec<Record>) -> Self {
        Self {
            inner: Arc::new(Inner {
                zone: ZoneData::new(records),
                seen: Watched::default(),
            }),
        }
    }

    /// The queries that came, as they were when they came here.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.inner.seen.read(|seen| {
            let parse = |wire: &Vec<u8>| Request::from_wire_for_tests(wire).ok();
            seen.iter().filter_map(parse).collect()
        })
    }

    /// How many queries came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.seen.read(Vec::len)
    }
}

#[async_trait]
impl Plugin for Records {
    fn name(&self) -> &'static str {
        "records"
    }

    async fn serve_dns(&self, request: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
        self.inner.seen.change(|seen| seen.push(request.wire().to_vec()));
        let response: Response = self.inner.zone.answer(request, |reply| {
            reply.authoritative(true);
        });
        Ok(response.into())
    }
}

/// A plugin of a closure that decides at once, such as `from_fn("refuses", |_| Ok(Outcome::Status(Rcode::REFUSED)))`.
pub fn from_fn<F>(name: &'static str, decide: F) -> impl Plugin
where
    F: Fn(&mut Request) -> Result<Outcome, PluginError> + Send + Sync + 'static,
{
    FromFn { name, decide }
}

struct FromFn<F> {
    name: &'static str,
    decide: F,
}

#[async_trait]
impl<F> Plugin for FromFn<F>
where
    F: Fn(&mut Request) -> Result<Outcome, PluginError> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    async fn serve_dns(&self, request: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
        (self.decide)(request)
    }
}
