//! DNS over QUIC (RFC 9250).

use std::io;
use std::net::SocketAddr;

use quinn::{Connection, Endpoint};

use super::streams::{Exchange, StreamsLoad, any_port};
use crate::query::{Expect, Queries};
use crate::tls::Trust;

/// Opens so many connections, each from a port of its own, for so many streams in flight on each.
///
/// # Errors
///
/// A connection does not come about.
pub fn doq(
    server: SocketAddr,
    trust: &Trust,
    queries: &Queries,
    expect: Expect,
    (connections, window): (usize, usize),
) -> io::Result<StreamsLoad> {
    let config = trust.over_quic(b"doq")?;
    StreamsLoad::new(queries, expect, (connections, window), || {
        let (config, name, queries) = (config.clone(), trust.name.clone(), queries.clone());
        async move {
            let (endpoint, connection) = connect(server, config, &name).await?;
            Ok(Doq {
                _endpoint: endpoint,
                connection,
                queries: queries.into(),
            })
        }
    })
}

/// A connection from a port of its own. It lives as long as the endpoint.
pub(super) async fn connect(
    server: SocketAddr,
    config: quinn::ClientConfig,
    name: &str,
) -> io::Result<(Endpoint, Connection)> {
    let endpoint = Endpoint::client(any_port(server))?;
    let connecting = endpoint
        .connect_with(config, server, name)
        .map_err(io::Error::other)?;
    let connection = connecting.await.map_err(io::Error::other)?;
    Ok((endpoint, connection))
}

#[derive(Clone)]
struct Doq {
    _endpoint: Endpoint,
    connection: Connection,
    queries: std::sync::Arc<Queries>,
}

impl Exchange for Doq {
    async fn exchange(&mut self, query: usize) -> io::Result<Vec<u8>> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        let query = self.queries.get(query);
        let frame = [&(query.len() as u16).to_be_bytes(), query].concat();
        send.write_all(&frame).await?;
        send.finish().map_err(io::Error::other)?;
        let mut answer = receive.read_to_end(MOST_BYTES).await.map_err(io::Error::other)?;
        let length = answer
            .first_chunk::<2>()
            .map(|length| u16::from_be_bytes(*length));
        if length.map(|length| usize::from(length) + 2) != Some(answer.len()) {
            return Err(io::Error::other("an answer is not as long as it says"));
        }
        answer.drain(..2);
        Ok(answer)
    }
}

/// The longest message, with its length.
const MOST_BYTES: usize = 2 + 65_535;
