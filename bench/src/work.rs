//! What servers are measured at.

/// What a server shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a closed list; a work is added together with its peers"
)]
pub enum Work {
    /// Answer 1,000 names from memory over UDP.
    Memory,
    /// Answer 1,000 names from the cache before the forwarding, over UDP.
    Cache,
    /// Forward over UDP through a cache that has none of the names.
    Miss,
    /// Keep a popular set in the cache while new names flood it.
    Popular,
    /// Keep a million answers in the cache.
    Million,
    /// Answer from the cache with metrics and a log, and without.
    Logs,
    /// Forward over UDP, nothing cached.
    Forward,
    /// Forward over TLS, nothing cached.
    ForwardDot,
    /// Answer 1,000 names from memory over TCP, with kept connections.
    Tcp,
    /// The same over TLS.
    Dot,
    /// The same over HTTP/2, with POST.
    Doh,
    /// The same with GET.
    DohGet,
    /// The same over QUIC.
    Doq,
    /// The same over HTTP/3.
    Doh3,
    /// Take new TLS connections, one query on each.
    Handshakes,
    /// The same with sessions that are resumed.
    Resumption,
    /// Hold 50,000 idle TCP connections.
    IdleTcp,
    /// Hold 10,000 idle TLS connections.
    IdleDot,
    /// Hold 10,000 idle HTTP/2 connections.
    IdleDoh,
    /// Hold 1,000 HTTP/2 connections with 50 idle streams each.
    IdleStreams,
    /// Survive a million queries a second.
    Flood,
}

impl Work {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 21] = [
        Self::Memory,
        Self::Cache,
        Self::Miss,
        Self::Popular,
        Self::Million,
        Self::Logs,
        Self::Forward,
        Self::ForwardDot,
        Self::Tcp,
        Self::Dot,
        Self::Doh,
        Self::DohGet,
        Self::Doq,
        Self::Doh3,
        Self::Handshakes,
        Self::Resumption,
        Self::IdleTcp,
        Self::IdleDot,
        Self::IdleDoh,
        Self::IdleStreams,
        Self::Flood,
    ];

    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cache => "cache",
            Self::Miss => "miss",
            Self::Popular => "popular",
            Self::Million => "million",
            Self::Logs => "logs",
            Self::Forward => "forward",
            Self::ForwardDot => "forward-dot",
            Self::Tcp => "tcp",
            Self::Dot => "dot",
            Self::Doh => "doh",
            Self::DohGet => "doh-get",
            Self::Doq => "doq",
            Self::Doh3 => "doh3",
            Self::Handshakes => "handshakes",
            Self::Resumption => "resumption",
            Self::IdleTcp => "idle-tcp",
            Self::IdleDot => "idle-dot",
            Self::IdleDoh => "idle-doh",
            Self::IdleStreams => "idle-streams",
            Self::Flood => "flood",
        }
    }

    /// As its table is headed.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Memory => "1,000 names from memory, UDP",
            Self::Cache => "1,000 names from the cache before forwarding, UDP",
            Self::Miss => "Forwarding over UDP past a cache that has none of the names",
            Self::Popular => "A popular set in the cache while new names flood it",
            Self::Million => "1,000,000 answers with one address in the cache",
            Self::Logs => "1,000 names from the cache with metrics and a log, UDP",
            Self::Forward => "Forwarding over UDP, nothing cached",
            Self::ForwardDot => "Forwarding over TLS, nothing cached, 200 in flight over UDP",
            Self::Tcp => "1,000 names from memory, TCP with kept connections",
            Self::Dot => "1,000 names from memory or cache, DNS over TLS with kept connections",
            Self::Doh => "1,000 names from memory or cache, DNS over HTTPS (HTTP/2, POST)",
            Self::DohGet => "1,000 names from memory or cache, DNS over HTTPS (HTTP/2, GET)",
            Self::Doq => "1,000 names from memory, DNS over QUIC",
            Self::Doh3 => "1,000 names from memory, DNS over HTTP/3 (POST)",
            Self::Handshakes => "New TLS 1.3 connections with a full handshake and a query each",
            Self::Resumption => "New TLS 1.3 connections with a resumed session and a query each",
            Self::IdleTcp => "50,000 idle TCP connections",
            Self::IdleDot => "10,000 idle connections of DNS over TLS",
            Self::IdleDoh => "10,000 idle connections of DNS over HTTPS",
            Self::IdleStreams => "1,000 connections of DNS over HTTPS with 50 idle streams each",
            Self::Flood => "A flood of 1,000,000 queries a second for 5 s",
        }
    }

    /// What a good figure is, told above the table.
    pub(crate) fn aim(self) -> &'static str {
        match self {
            Self::Memory => {
                "Good: at most nsd's CPU for `hosts`, `whoami` and `dynresolve`, also with writes, whose slowest query is \
                 below 5 ms; four more plugins add at most 10 % to `whoami`. Idle below 15 MiB, started within 30 ms."
            }
            Self::Cache => "Good: at most unbound's CPU and 1.6 of the echo's.",
            Self::Miss => {
                "Good: at most 1.10 of dnsdist's CPU, which forwards without a cache. All names are new."
            }
            Self::Popular => {
                "5,000 popular names, a cache for 10,000 answers, four queries for new names to each for a popular one, until \
                 100,000 new names have come. Good: over 90 % hits of popular names in spite of the flood."
            }
            Self::Million => {
                "Good: at most 238 MiB (250 MB) of growth, with nearly all of them kept. Kept is the share of names that are \
                 answered from the cache when all are asked for again."
            }
            Self::Logs => {
                "The chain is that of `cache`; the log goes to a pipe that is read. Good: at most 1.15 of the CPU with both off."
            }
            Self::Forward => "Good: at most dnsdist's CPU, with a p99 that is not worse.",
            Self::ForwardDot => {
                "100,000 names in turn, TTL 0; the upstream is the bench's own. Good: at most dnsdist's CPU, with a p99 that is \
                 not worse."
            }
            Self::Tcp => "Good: at most knot's CPU.",
            Self::Dot => "Good: at most 0.95 of dnsdist's CPU.",
            Self::Doh | Self::DohGet => "Good: at most dnsdist's CPU.",
            Self::Doq | Self::Doh3 => "Good: at most twice the CPU of Catena's own DNS over TLS.",
            Self::Handshakes | Self::Resumption => {
                "X25519, AES-256-GCM, a key of P-256; 32 connections at a time. Good: as many in a second of CPU as unbound."
            }
            Self::IdleTcp => "Good: all are held, at most 2 KiB each, and UDP's p99 stays.",
            Self::IdleDot => "Good: at most 19.5 KiB (20 kB) each, and UDP's p99 stays.",
            Self::IdleDoh | Self::IdleStreams => "Good: all are held, and UDP's p99 stays.",
            Self::Flood => "Good: less than 57 MiB (60 MB) of growth, and an answer within 500 ms.",
        }
    }

    /// The server that the others are compared with. It runs along whatever is left out.
    pub(crate) fn reference(self) -> Option<&'static str> {
        match self {
            Self::Memory | Self::Cache | Self::Forward | Self::Tcp => Some("echo"),
            Self::Miss | Self::ForwardDot | Self::Dot | Self::Doh | Self::DohGet => Some("dnsdist"),
            Self::Logs => Some("catena cache"),
            Self::Doq | Self::Doh3 => Some("catena DoT"),
            Self::Handshakes | Self::Resumption => Some("unbound"),
            Self::Popular
            | Self::Million
            | Self::IdleTcp
            | Self::IdleDot
            | Self::IdleDoh
            | Self::IdleStreams
            | Self::Flood => None,
        }
    }

    /// The TTL that the upstream gives, where the servers have one behind them.
    pub(crate) fn upstream_ttl(self) -> Option<u32> {
        match self {
            Self::Cache
            | Self::Miss
            | Self::Popular
            | Self::Million
            | Self::Logs
            | Self::Dot
            | Self::Doh
            | Self::DohGet
            | Self::Handshakes
            | Self::Resumption
            | Self::IdleTcp
            | Self::IdleDot
            | Self::IdleDoh
            | Self::IdleStreams => Some(CACHED_TTL),
            Self::Forward | Self::ForwardDot => Some(0),
            Self::Memory | Self::Tcp | Self::Doq | Self::Doh3 | Self::Flood => None,
        }
    }
}

/// Longer than any turn.
const CACHED_TTL: u32 = 3600;
