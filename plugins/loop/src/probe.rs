//! The query that the server asks itself, and how often it comes by.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use catena_core::log::LogSink;
use catena_core::message::{MAX_MESSAGE_LEN, QName, QueryBuilder, Response, Zone};
use catena_core::plugin::{Control, Lifecycle, ListenHost, StartContext, StartError, StopReason};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// The type that is asked for (RFC 1035, section 3.3.2): hardly anybody asks for it in earnest.
pub(crate) const HINFO: u16 = 13;

/// A query that comes by more often than this has come back.
const MOST_SIGHTINGS: u32 = 2;

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Between two attempts to ask.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the server is asked in vain, as where an upstream is not up yet.
const ATTEMPTS_TIME: Duration = Duration::from_secs(30);

/// How long the name still counts behind an answer: a loop may take its time.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Where the server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    addresses: Vec<SocketAddr>,
    text: String,
}

impl Target {
    /// The first address that the block listens on; with none it is all of the machine's.
    pub(crate) fn new(host: Option<&ListenHost>, port: u16) -> Self {
        let addresses = match host {
            None => vec![
                SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
            ],
            Some(host) => vec![match host.ip {
                IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
                IpAddr::V4(ip) => SocketAddr::from((ip, port)),
                IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, host.scope).into(),
            }],
        };
        let text = match host.map_or("", |host| &host.text) {
            host if host.contains(':') => format!("[{host}]:{port}"),
            host => format!("{host}:{port}"),
        };
        Self { addresses, text }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a query for HINFO was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The probe, once too often.
    Looped,
    /// Something else, or the probe as it should be.
    Other,
}

/// Counts how often the probe comes by.
///
/// Only while the probe is on its way does its name mean anything, and the name has 124 bits from the system's
/// generator: nobody stops the server by guessing it.
#[derive(Debug)]
pub(crate) struct Detector {
    name: QName,
    zone: String,
    target: Target,
    underway: AtomicBool,
    sightings: AtomicU32,
    said: AtomicBool,
    alarm: OnceLock<(Control, LogSink)>,
}

/// Why there is no name to ask for.
#[derive(Debug)]
pub(crate) enum NoName {
    Random,
    TooLong(String),
}

impl fmt::Display for NoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("the system's random generator failed"),
            Self::TooLong(zone) => write!(
                f,
                "the zone `{zone}` is too long for a name of two labels below it"
            ),
        }
    }
}

impl Detector {
    /// For queries below `zone`.
    pub(crate) fn new(zone: &Zone, target: Target) -> Result<Self, NoName> {
        Ok(Self {
            name: random_name(zone)?,
            zone: zone.as_str().to_owned(),
            target,
            underway: AtomicBool::new(false),
            sightings: AtomicU32::new(0),
            said: AtomicBool::new(false),
            alarm: OnceLock::new(),
        })
    }

    /// A query for HINFO has come.
    pub(crate) fn saw(&self, name: &QName, peer: SocketAddr) -> Seen {
        if !self.underway.load(Ordering::Acquire) || *name != self.name {
            return Seen::Other;
        }
        if self.sightings.fetch_add(1, Ordering::AcqRel) < MOST_SIGHTINGS {
            return Seen::Other;
        }
        // Once is enough, however many are on their way.
        if !self.said.swap(true, Ordering::AcqRel)
            && let Some((control, log)) = self.alarm.get()
        {
            log.line(&format!(
                "[FATAL] plugin/loop: Loop ({peer} -> {}) detected for zone \"{}\", see \
                 https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {}\"",
                self.target, self.zone, self.name,
            ));
            control.stop(1);
        }
        Seen::Looped
    }

    /// Asks until there is an answer, and watches a little longer.
    async fn run(&self) {
        self.underway.store(true, Ordering::Release);
        let deadline = Instant::now() + ATTEMPTS_TIME;
        while Instant::now() < deadline && !self.said.load(Ordering::Acquire) {
            if self.ask().await.is_ok() {
                sleep(AFTERMATH).await;
                break;
            }
            if !self.said.load(Ordering::Acquire) {
                self.sightings.store(0, Ordering::Release);
            }
            sleep(PAUSE).await;
        }
        if !self.said.load(Ordering::Acquire) {
            self.underway.store(false, Ordering::Release);
        }
    }

    /// Sends the probe and waits for its answer, whatever that says.
    async fn ask(&self) -> io::Result<()> {
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in &self.target.addresses {
            match timeout(ANSWER_TIME, self.exchange(*address)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => failure = error,
                // Somebody listens there: it is not the other family's turn.
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(failure)
    }

    async fn exchange(&self, address: SocketAddr) -> io::Result<()> {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(address).await?;
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        let id = u16::from_be_bytes(id);
        socket
            .send(&QueryBuilder::of_name(&self.name, HINFO).id(id).to_wire())
            .await?;
        let mut buffer = vec![0; MAX_MESSAGE_LEN];
        loop {
            let len = socket.recv(&mut buffer).await?;
            if Response::from_wire(buffer[..len].to_vec())
                .is_ok_and(|answer| answer.id() == id && answer.qr())
            {
                return Ok(());
            }
        }
    }
}

/// Two labels of 62 random bits each, in decimal as CoreDNS writes them.
fn random_name(zone: &Zone) -> Result<QName, NoName> {
    let mut wire = Vec::with_capacity(42 + zone.as_wire().len());
    for _ in 0..2 {
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).map_err(|_| NoName::Random)?;
        let label = (u64::from_be_bytes(bits) >> 2).to_string();
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.extend_from_slice(zone.as_wire());
    QName::from_wire(&wire).map_err(|_| NoName::TooLong(zone.to_string()))
}

/// Asks at the start.
#[derive(Debug)]
pub(crate) struct Probe {
    detector: Arc<Detector>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Probe {
    pub(crate) fn new(detector: Arc<Detector>) -> Self {
        Self {
            detector,
            task: Mutex::default(),
        }
    }
}

#[async_trait]
impl Lifecycle for Probe {
    fn name(&self) -> &'static str {
        "loop"
    }

    async fn start(&self, context: &StartContext) -> Result<(), StartError> {
        // A plugin is started once.
        let _ = self
            .detector
            .alarm
            .set((context.control.clone(), context.log.clone()));
        Ok(())
    }

    async fn started(&self) {
        let detector = Arc::clone(&self.detector);
        *self.task.lock() = Some(tokio::spawn(async move { detector.run().await }));
    }

    async fn stop(&self, _: StopReason) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use catena_core::plugin::Shared;

    use super::*;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5353);

    fn detector(zone: &str, port: u16) -> Arc<Detector> {
        Arc::new(Detector::new(&zone.parse().unwrap(), Target::new(None, port)).unwrap())
    }

    fn watched(detector: &Detector) -> catena_core::log::Captured {
        let (log, lines) = LogSink::captured();
        let context = StartContext::detached(Shared::default(), log.clone());
        detector.alarm.set((context.control, log)).unwrap();
        lines
    }

    #[test]
    fn names_have_124_random_bits_below_the_zone() {
        let mut highest = 0;
        for _ in 0..1000 {
            let name = random_name(&"example.org".parse().unwrap()).unwrap().to_string();
            let labels: Vec<&str> = name.split('.').collect();
            assert_eq!(labels[2..], ["example", "org", ""]);
            for label in &labels[..2] {
                highest = highest.max(label.parse::<u64>().unwrap());
            }
        }
        // Of 2000 numbers one is in the uppermost hundredth, but for one time in 10^8.
        assert!(highest < 1 << 62 && highest > (1 << 62) / 100 * 99, "{highest}");
    }

    #[test]
    fn a_zone_without_room_is_refused() {
        let label = "a".repeat(62);
        let zone = format!("{label}.{label}.{label}.{}", "b".repeat(50))
            .parse()
            .unwrap();
        let error = Detector::new(&zone, Target::new(None, 53)).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("is too long for a name of two labels below it"),
            "{error}"
        );
    }

    #[test]
    fn the_target_is_the_first_address() {
        let host = |ip: &str, text: &str| ListenHost {
            ip: ip.parse().unwrap(),
            scope: 0,
            text: text.to_owned(),
            span: None,
        };
        for (host, text, first) in [
            (None, ":53", "127.0.0.1:53"),
            (
                Some(host("127.0.0.2", "127.0.0.2")),
                "127.0.0.2:53",
                "127.0.0.2:53",
            ),
            (
                Some(host("2001:db8::1", "2001:db8::1")),
                "[2001:db8::1]:53",
                "[2001:db8::1]:53",
            ),
            (Some(host("0.0.0.0", "0.0.0.0")), "0.0.0.0:53", "127.0.0.1:53"),
        ] {
            let target = Target::new(host.as_ref(), 53);
            assert_eq!(
                (
                    target.to_string().as_str(),
                    target.addresses[0].to_string().as_str()
                ),
                (text, first)
            );
        }
    }

    #[tokio::test]
    async fn the_third_sighting_is_a_loop_and_said_once() {
        let detector = detector("example.org", 53);
        let lines = watched(&detector);
        detector.underway.store(true, Ordering::Release);
        let name = detector.name.clone();
        let seen: Vec<_> = (0..5).map(|_| detector.saw(&name, PEER)).collect();
        assert_eq!(
            seen,
            [Seen::Other, Seen::Other, Seen::Looped, Seen::Looped, Seen::Looped]
        );
        assert_eq!(
            lines.lines(),
            [format!(
                "[FATAL] plugin/loop: Loop (127.0.0.1:5353 -> :53) detected for zone \"example.org.\", see \
                 https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {name}\""
            )]
        );
    }

    /// CVE-2026-26018: the server could be stopped by asking for a name that was easy to guess.
    #[tokio::test]
    async fn no_name_stops_the_server_without_a_probe_underway() {
        let detector = detector(".", 53);
        let lines = watched(&detector);
        let own = detector.name.clone();
        let all_asked = |detector: &Detector| {
            // The names of the old scheme: two numbers below 2^63 that a seed from the clock gave.
            for number in 0..10_000u64 {
                let name: QName = format!("{number}.{}.", number * 7919).parse().unwrap();
                for _ in 0..4 {
                    assert_eq!(detector.saw(&name, PEER), Seen::Other);
                }
            }
        };
        all_asked(&detector);
        for _ in 0..4 {
            assert_eq!(detector.saw(&own, PEER), Seen::Other, "no probe is underway");
        }
        detector.underway.store(true, Ordering::Release);
        all_asked(&detector);
        assert_eq!(lines.lines(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn an_answer_ends_the_probe() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let detector = detector("example.org", server.local_addr().unwrap().port());
        watched(&detector);
        let probe = Probe::new(Arc::clone(&detector));
        probe.started().await;
        let mut buffer = [0; 512];
        let (len, peer) = server.recv_from(&mut buffer).await.unwrap();
        assert!(detector.underway.load(Ordering::Acquire));
        let mut request = catena_core::message::Request::from_wire_for_tests(&buffer[..len]).unwrap();
        assert_eq!((request.qname(), request.qtype_code()), (&detector.name, HINFO));
        server
            .send_to(request.reply().finish().wire(), peer)
            .await
            .unwrap();
        let task = probe.task.lock().take().unwrap();
        timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
        assert!(!detector.underway.load(Ordering::Acquire));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_after_a_while() {
        // A socket that nobody reads.
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let detector = detector("example.org", server.local_addr().unwrap().port());
        let before = Instant::now();
        detector.run().await;
        let taken = before.elapsed();
        assert!(
            taken >= ATTEMPTS_TIME && taken <= ATTEMPTS_TIME + ANSWER_TIME + PAUSE,
            "{taken:?}"
        );
        assert!(!detector.underway.load(Ordering::Acquire));
    }
}
