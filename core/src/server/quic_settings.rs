//! What connections over QUIC are given: certificates, windows, times.

use std::io;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ServerConfig, TransportConfig, VarInt};

use super::endpoint::Endpoint;
use super::table::Table;
use super::tcp::IDLE_TIMEOUT;
use crate::corefile::Scheme;

/// Streams at a time on one connection, where no plugin says otherwise, as in CoreDNS.
pub(super) const MAX_STREAMS: usize = 256;

/// Handshakes that may wait to be begun.
const MAX_INCOMING: usize = 1024;

/// What a client may send on one stream before it is read, and on all of them together, in bytes.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Answers on their way to a client, in bytes, before more has to wait.
const SEND_WINDOW: u64 = 1 << 20;

/// What new connections get, and the table that it was made from.
pub(super) struct Settings {
    table: Arc<Table>,
    config: Arc<ServerConfig>,
}

impl Settings {
    pub(super) fn of(endpoint: &Endpoint) -> io::Result<Self> {
        let table = endpoint.table();
        let mut config = ServerConfig::with_crypto(crypto(&table)?);
        config
            .max_incoming(MAX_INCOMING)
            .transport_config(Arc::new(transport_config(endpoint.scheme(), &table)));
        let config = Arc::new(config);
        Ok(Self { table, config })
    }

    /// Those of an endpoint that begins.
    pub(super) fn at_start(&self) -> ServerConfig {
        self.config.as_ref().clone()
    }

    /// Those of the table that is served now. It is looked at for each connection, so that none that comes after a reload
    /// meets what was before it.
    pub(super) fn now(&mut self, endpoint: &Endpoint) -> &Arc<ServerConfig> {
        if !endpoint.serves(&self.table) {
            self.table = endpoint.table();
            match crypto(&self.table) {
                Ok(crypto) => {
                    // A copy, because the key of the tokens stays: clients that were asked to come again hold some.
                    let mut config = self.config.as_ref().clone();
                    config.crypto = crypto;
                    config.transport = Arc::new(transport_config(endpoint.scheme(), &self.table));
                    self.config = Arc::new(config);
                }
                Err(error) => {
                    tracing::error!(target: "catena", "a QUIC socket keeps its old settings: {error}");
                }
            }
        }
        &self.config
    }
}

fn crypto(table: &Table) -> io::Result<Arc<QuicServerConfig>> {
    let tls = table
        .tls()
        .ok_or_else(|| io::Error::other("there is no certificate"))?;
    let tls = tls.quic_config().map_err(io::Error::other)?;
    QuicServerConfig::try_from(tls)
        .map(Arc::new)
        .map_err(io::Error::other)
}

fn transport_config(scheme: Scheme, table: &Table) -> TransportConfig {
    let streams = table.bounds().streams.unwrap_or(MAX_STREAMS);
    let streams = u32::try_from(streams).map_or(VarInt::MAX, VarInt::from_u32);
    let idle = table.timeouts().idle.unwrap_or(IDLE_TIMEOUT);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(streams)
        .max_concurrent_uni_streams(match scheme {
            // For settings and the compression of heads, and some that are ignored (RFC 9114, section 6.2).
            Scheme::Https3 => VarInt::from_u32(16),
            _ => VarInt::from_u32(0),
        })
        .max_idle_timeout(idle.try_into().ok())
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None);
    config
}
