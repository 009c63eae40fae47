//! Which server block serves a query: the zones of one listener.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::message::{AnswerOptions, Request, Transport, Zone};
use crate::net::tls::ListenerTls;
use crate::plugin::{Bounds, Chain, ProxyHeader, ServerObserver, Services, Timeouts, ViewFilter};

use super::generation::Generation;
use super::tcp;

/// Type code of DS records (RFC 4034, section 5), which stand at the parent's side of a zone cut.
const DS: u16 = 43;

/// One zone of one block, on one listener.
#[derive(Clone)]
pub struct Site {
    /// The zone as the block's key names it.
    pub zone: Arc<Zone>,
    /// The block's plugins; the zones of a block share them.
    pub chain: Arc<Chain>,
    /// All must accept a query, else it is for another block.
    pub filters: Arc<[Arc<dyn ViewFilter>]>,
    /// The block's services.
    pub services: Arc<Services>,
}

impl Site {
    fn accepts(&self, request: &Request) -> bool {
        self.filters.iter().all(|filter| filter.accepts(request))
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.zone.as_str(), self.chain)
    }
}

/// All that one listener serves. It is replaced as a whole at a reload.
#[derive(Debug)]
pub struct Table {
    sites: Vec<Site>,
    zones: HashMap<Box<[u8]>, Vec<usize>, ahash::RandomState>,
    /// The most labels that a zone has; deeper suffixes of a name need no look-up.
    deepest: usize,
    /// Queries of other classes than IN reach the plugins.
    other_classes: bool,
    timeouts: Timeouts,
    /// The listener as metrics name it, such as `dns://:53`.
    label: Arc<str>,
    observers: Vec<Arc<dyn ServerObserver>>,
    proxy: Option<Arc<dyn ProxyHeader>>,
    tls: Option<Arc<ListenerTls>>,
    bounds: Bounds,
    answer_options: AnswerOptions,
    /// Held until the last query of this table is answered.
    _generation: Arc<Generation>,
}

impl fmt::Debug for dyn ServerObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerObserver")
    }
}

/// What [`Table::find`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The site with this index serves the query.
    Site(usize),
    /// None does: REFUSED.
    Refused,
}

/// The parts of a [`Table`].
pub(crate) struct TableParts {
    pub(crate) sites: Vec<Site>,
    pub(crate) other_classes: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) label: Arc<str>,
    pub(crate) observers: Vec<Arc<dyn ServerObserver>>,
    pub(crate) proxy: Option<Arc<dyn ProxyHeader>>,
    pub(crate) tls: Option<Arc<ListenerTls>>,
    pub(crate) bounds: Bounds,
    /// Encrypted answers are padded to a multiple of so many bytes.
    pub(crate) padding: Option<u16>,
    pub(crate) generation: Arc<Generation>,
}

impl Table {
    pub(crate) fn new(parts: TableParts) -> Self {
        let mut zones: HashMap<Box<[u8]>, Vec<usize>, ahash::RandomState> = HashMap::default();
        for (index, site) in parts.sites.iter().enumerate() {
            zones.entry(site.zone.as_wire().into()).or_default().push(index);
        }
        let deepest = parts
            .sites
            .iter()
            .map(|site| site.zone.label_count())
            .max()
            .unwrap_or(0);
        let has_tls = parts.tls.is_some();
        let idle = parts.timeouts.idle.unwrap_or(tcp::IDLE_TIMEOUT).as_millis() / 100;
        let announced = match parts.timeouts.keepalive {
            true => u16::try_from(idle).unwrap_or(u16::MAX),
            false => 0,
        };
        Self {
            sites: parts.sites,
            zones,
            deepest,
            other_classes: parts.other_classes,
            timeouts: parts.timeouts,
            label: parts.label,
            observers: parts.observers,
            proxy: parts.proxy,
            tls: parts.tls,
            bounds: parts.bounds,
            answer_options: AnswerOptions {
                // In the clear there is nothing to hide.
                padding: parts.padding.filter(|_| has_tls).unwrap_or(0),
                keepalive: announced,
            },
            _generation: parts.generation,
        }
    }

    /// The sites, in the order of the Corefile.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The listener's label.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Whether queries of other classes than IN reach the plugins.
    #[must_use]
    pub fn other_classes(&self) -> bool {
        self.other_classes
    }

    /// The listener's times.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Those who want to see what the server answers by itself.
    #[must_use]
    pub fn observers(&self) -> &[Arc<dyn ServerObserver>] {
        &self.observers
    }

    /// What reads the headers of proxies, where there may be any.
    #[must_use]
    pub fn proxy(&self) -> Option<&Arc<dyn ProxyHeader>> {
        self.proxy.as_ref()
    }

    /// The certificates, where connections are encrypted.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<ListenerTls>> {
        self.tls.as_ref()
    }

    /// What is added to answers over this transport, for clients that ask for it.
    #[inline]
    #[must_use]
    pub fn answer_options(&self, transport: Transport) -> AnswerOptions {
        match transport {
            Transport::Udp => AnswerOptions::default(),
            Transport::Tcp => AnswerOptions {
                padding: 0,
                ..self.answer_options
            },
            Transport::Tls => self.answer_options,
            // These have idle times of their own.
            Transport::Https | Transport::Https3 | Transport::Quic | Transport::Grpc => AnswerOptions {
                keepalive: 0,
                ..self.answer_options
            },
        }
    }

    /// The bounds on connections and streams.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The site for a query: that of the longest zone which holds the name and whose views accept the query. DS
    /// goes to the topmost such zone, the root excepted, since it is the parent that has the record.
    #[must_use]
    pub fn find(&self, request: &Request) -> Found {
        let qname = request.qname();
        let labels = qname.label_count();
        let wants_parent = request.qtype_code() == DS;
        let mut topmost = None;
        for (depth, suffix) in qname.suffixes().enumerate() {
            let deep = labels.saturating_sub(depth);
            if deep > self.deepest || (deep == 0 && labels > 0) {
                continue;
            }
            for &index in self.zones.get(suffix).map_or(&[][..], Vec::as_slice) {
                let site = &self.sites[index];
                if site.chain.is_empty() {
                    return Found::Refused;
                }
                if site.accepts(request) {
                    if !wants_parent {
                        return Found::Site(index);
                    }
                    topmost = Some(index);
                }
            }
        }
        if let Some(index) = topmost {
            return Found::Site(index);
        }
        let root = self.zones.get(&[0u8][..]).map_or(&[][..], Vec::as_slice);
        let serves =
            |index: &&usize| !self.sites[**index].chain.is_empty() && self.sites[**index].accepts(request);
        root.iter()
            .find(serves)
            .map_or(Found::Refused, |&index| Found::Site(index))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::counters::Counters;
    use crate::message::QueryBuilder;
    use crate::plugin::{PanicPolicy, Plugin};

    struct Named(&'static str);

    #[async_trait]
    impl Plugin for Named {
        fn name(&self) -> &'static str {
            self.0
        }
    }

    /// Accepts names that begin with a letter.
    struct Beginning(char);

    impl ViewFilter for Beginning {
        fn view_name(&self) -> &str {
            "beginning"
        }

        fn accepts(&self, request: &Request) -> bool {
            request.name_display().to_string().starts_with(self.0)
        }
    }

    fn site(zone: &str, serves: bool, view: Option<char>) -> Site {
        let plugins: Vec<Arc<dyn Plugin>> = if serves {
            vec![Arc::new(Named("source"))]
        } else {
            Vec::new()
        };
        let filters: Vec<Arc<dyn ViewFilter>> = view
            .into_iter()
            .map(|letter| Arc::new(Beginning(letter)) as Arc<dyn ViewFilter>)
            .collect();
        Site {
            zone: Arc::new(zone.parse().unwrap()),
            chain: Arc::new(Chain::new(
                plugins,
                PanicPolicy::Catch,
                Arc::new(Counters::new(1)),
            )),
            filters: filters.into(),
            services: Arc::default(),
        }
    }

    pub(in crate::server) fn table(sites: Vec<Site>) -> Table {
        Table::new(TableParts {
            sites,
            other_classes: false,
            timeouts: Timeouts::default(),
            label: "dns://:53".into(),
            observers: Vec::new(),
            proxy: None,
            tls: None,
            bounds: Bounds::default(),
            padding: None,
            generation: Generation::new().0,
        })
    }

    fn find(table: &Table, name: &str, qtype: u16) -> Found {
        table.find(&QueryBuilder::new(name, qtype).unwrap().to_request().unwrap())
    }

    const A: u16 = 1;

    #[test]
    fn the_longest_zone_serves() {
        let table = table(vec![
            site(".", true, None),
            site("org.", true, None),
            site("example.org.", true, None),
            site("closed.example.org.", false, None),
        ]);
        for (case, name, want) in [
            ("apex", "example.org.", Found::Site(2)),
            ("other letters", "A.eXample.ORG.", Found::Site(2)),
            ("far below", "a.b.c.d.example.org.", Found::Site(2)),
            ("another below the parent", "example2.org.", Found::Site(1)),
            ("the root's", "example.net.", Found::Site(0)),
            ("the root itself", ".", Found::Site(0)),
            (
                "a block without plugins refuses and hands over to no other",
                "a.closed.example.org.",
                Found::Refused,
            ),
        ] {
            assert_eq!(find(&table, name, A), want, "case {case}");
        }
    }

    #[test]
    fn ds_goes_to_the_parent_side() {
        let parents = table(vec![
            site(".", true, None),
            site("example.org.", true, None),
            site("sub.example.org.", true, None),
        ]);
        for (case, name, want) in [
            ("the parent has it", "sub.example.org.", Found::Site(1)),
            ("the topmost but the root", "a.sub.example.org.", Found::Site(1)),
            ("of the topmost zone itself", "example.org.", Found::Site(1)),
            ("of the root", ".", Found::Site(0)),
            ("outside", "example.net.", Found::Site(0)),
        ] {
            assert_eq!(find(&parents, name, DS), want, "case {case}");
        }
        let alone = table(vec![site("sub.example.org.", true, None)]);
        assert_eq!(
            find(&alone, "sub.example.org.", DS),
            Found::Site(0),
            "no parent is served here"
        );
    }

    #[test]
    fn views_are_asked_in_their_order_and_then_the_zone_above() {
        let table = table(vec![
            site("example.org.", true, Some('a')),
            site("example.org.", true, Some('b')),
            site("org.", true, None),
        ]);
        for (case, name, want) in [
            ("the first", "a.example.org.", Found::Site(0)),
            ("the second", "b.example.org.", Found::Site(1)),
            ("none of them", "c.example.org.", Found::Site(2)),
            ("nobody's", "a.example.net.", Found::Refused),
        ] {
            assert_eq!(find(&table, name, A), want, "case {case}");
        }
    }
}
