//! What the server itself counts: one place, so that every bound that is hit shows.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::worker::PerWorker;

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $help:literal;)*) => {
        /// Something that the server counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[$doc])* $variant,)*
        }

        impl Event {
            /// All events, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The metric's name without the suffix `_total`.
            #[must_use]
            pub const fn metric(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The metric's help text.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

events! {
    /// A panic in a plugin or in the server, caught.
    Panic = "coredns_panics", "A metrics that counts the number of panics.";
    /// A datagram received.
    UdpQuery = "catena_udp_datagrams_received", "Datagrams received.";
    /// A call of recvmmsg that returned datagrams; with the one above it gives the batches' size.
    UdpBatch = "catena_udp_batches_received", "Batches of datagrams received.";
    /// A query whose chain answered at the first poll.
    PolledInPlace = "catena_queries_polled_in_place", "Queries that were answered without a task.";
    /// A query whose chain had to wait and became a task.
    BecameTask = "catena_queries_became_task", "Queries that waited and became a task.";
    /// A query dropped since too many wait already.
    DroppedInFlight = "catena_queries_dropped_in_flight", "Queries dropped because the bound on waiting queries was reached.";
    /// A datagram that cannot be answered: too short, or a response.
    DroppedUnanswerable = "catena_queries_dropped_unanswerable", "Messages dropped because they cannot be answered.";
    /// A datagram that the system dropped since a socket's receive buffer was full.
    DroppedBuffer = "catena_queries_dropped_buffer", "Datagrams that the system dropped because the receive buffer of a UDP socket was full.";
    /// An answer that the system did not take.
    DroppedSend = "catena_answers_dropped_send", "Answers that could not be sent.";
    /// A stream accepted.
    TcpAccepted = "catena_tcp_connections_accepted", "TCP connections accepted.";
    /// A stream closed at once since there are too many.
    TcpRefused = "catena_tcp_connections_refused", "TCP connections closed because the bound on connections was reached.";
    /// A stream closed since its client did not read its answers in time.
    TcpSlowReader = "catena_tcp_connections_slow_reader", "TCP connections closed because the client did not read its answers.";
    /// A stream closed after the idle or read time.
    TcpIdle = "catena_tcp_connections_idle", "TCP connections closed after the idle or read timeout.";
    /// A stream closed after its allowed number of queries.
    TcpQueryLimit = "catena_tcp_connections_query_limit", "TCP connections closed after the allowed number of queries.";
    /// A stream that waited with reading since too many of its queries were in flight.
    TcpInFlight = "catena_tcp_in_flight_waits", "Times that a TCP connection was not read because too many of its queries were in flight.";
    /// A question that the server did not ask itself since it had asked enough for one client's query.
    RequeryRefused = "catena_requeries_refused", "Questions that were not asked because the bound on questions for one query was reached.";
    /// A connection of a client that has too many.
    ClientRefused = "catena_client_connections_refused", "Connections closed because the bound on connections of one client was reached.";
    /// A connection that waited, or was closed, since the bound of its listener was reached.
    ListenerFull = "catena_listener_connections_full", "Connections that waited or were closed because the bound on connections of their listener was reached.";
    /// A connection closed since too many handshakes were in progress.
    HandshakeRefused = "catena_tls_handshakes_refused", "Connections closed because the bound on handshakes in progress was reached.";
    /// A handshake, or what a proxy says before it, that failed.
    HandshakeFailed = "catena_tls_handshakes_failed", "Handshakes that failed.";
    /// A handshake that took too long.
    HandshakeSlow = "catena_tls_handshakes_timed_out", "Handshakes that took longer than the read timeout.";
    /// A handshake that succeeded.
    HandshakeDone = "catena_tls_handshakes_completed", "Handshakes that were completed.";
    /// One of these that went on with an earlier session.
    HandshakeResumed = "catena_tls_handshakes_resumed", "Completed handshakes that resumed an earlier session.";
    /// A request over HTTP or gRPC with a head or body that is too long.
    HttpTooLarge = "catena_http_requests_too_large", "Requests refused because of the length of their head, query or body.";
    /// A request whose body did not come in time.
    HttpSlow = "catena_http_requests_timed_out", "Requests whose body did not come within the read timeout.";
    /// A connection that was not asked for more requests since too many of its were in flight.
    HttpInFlight = "catena_http_in_flight_waits", "Times that no more requests of a connection were begun because too many of them were in flight.";
    /// A response that a client did not take in time.
    StreamSlowReader = "catena_streams_slow_reader", "Streams over HTTP, gRPC and QUIC that ended because the client did not take its answer.";
    /// A stream that did not bring a query in time.
    StreamSlow = "catena_quic_streams_timed_out", "QUIC streams that brought no query within the read timeout.";
    /// A stream that waited for a place.
    StreamFull = "catena_quic_streams_full", "QUIC streams that waited because the bound on streams of their listener was reached.";
}

/// The server's own counters; each worker counts on its own cache lines.
#[derive(Debug)]
pub struct Counters {
    workers: PerWorker<[AtomicU64; Event::ALL.len()]>,
}

impl Counters {
    /// Counters for so many workers, all zero.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers: PerWorker::new(workers, || [const { AtomicU64::new(0) }; Event::ALL.len()]),
        }
    }

    /// Counts one event.
    pub fn inc(&self, event: Event) {
        self.add(event, 1);
    }

    /// Counts several events of one kind.
    pub fn add(&self, event: Event, count: u64) {
        self.workers.get()[event as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// How often an event happened so far, on all workers.
    #[must_use]
    pub fn get(&self, event: Event) -> u64 {
        self.workers
            .iter()
            .map(|counts| counts[event as usize].load(Ordering::Relaxed))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_names_are_unique() {
        let counters = Counters::new(2);
        counters.inc(Event::Panic);
        counters.add(Event::UdpQuery, 5);
        assert_eq!(
            (counters.get(Event::Panic), counters.get(Event::UdpQuery)),
            (1, 5)
        );
        let mut names: Vec<_> = Event::ALL.iter().map(|event| event.metric()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Event::ALL.len());
    }
}
