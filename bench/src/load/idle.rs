//! Connections that were used once and are kept.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, yield_now};
use tokio_rustls::rustls::client::Resumption;

use super::connect;
use super::doh;
use super::http::Requests;
use super::streams::runtime;
use super::tls::TlsStream;
use crate::query::{Expect, Queries};
use crate::tls::Trust;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a closed list, of which the runner knows each"
)]
pub enum Kind {
    /// Plain TCP.
    Tcp,
    /// DNS over TLS.
    Dot,
    /// DNS over HTTPS with HTTP/2, and so many requests on each whose body does not come.
    Doh(usize),
}

/// The kept connections.
pub struct Idle {
    tcp: Vec<TcpStream>,
    tls: Vec<TlsStream>,
    http: Vec<Http>,
    runtime: Runtime,
}

struct Http {
    driver: JoinHandle<()>,
    _sender: SendRequest<Bytes>,
    streams: Vec<(ResponseFuture, SendStream<Bytes>)>,
}

impl Idle {
    /// Opens `count` connections to `server` one after the other and asks the first of `queries` on each.
    ///
    /// They come from several addresses, since servers bound what one client may have, and a client has fewer than
    /// 30,000 ports.
    ///
    /// # Errors
    ///
    /// A connection does not come about, or a query is not answered.
    pub fn open(
        kind: Kind,
        server: SocketAddr,
        trust: &Trust,
        queries: &Queries,
        count: usize,
    ) -> io::Result<Self> {
        let mut idle = Self {
            tcp: Vec::new(),
            tls: Vec::new(),
            http: Vec::new(),
            runtime: runtime()?,
        };
        match kind {
            Kind::Tcp => {
                for number in 0..count {
                    let mut stream = connect(server, number)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    ask(&mut stream, queries)?;
                    stream.set_nonblocking(true)?;
                    idle.tcp.push(stream);
                }
            }
            Kind::Dot => {
                let config = trust.over_tcp(Some(b"dot"), Resumption::disabled())?;
                for number in 0..count {
                    let mut stream = TlsStream::connect(server, number, &config, trust)?;
                    stream.finish_handshake()?;
                    ask(&mut stream, queries)?;
                    stream.set_nonblocking()?;
                    idle.tls.push(stream);
                }
            }
            Kind::Doh(streams) => idle.open_http(server, trust, queries, count, streams)?,
        }
        Ok(idle)
    }

    fn open_http(
        &mut self,
        server: SocketAddr,
        trust: &Trust,
        queries: &Queries,
        count: usize,
        streams: usize,
    ) -> io::Result<()> {
        let (requests, config) = (Requests::new(&trust.name, queries, false)?, doh::config(trust)?);
        for number in 0..count {
            let open = async {
                let (mut sender, driver) = doh::open(server, number, &config, trust).await?;
                let (request, body) = requests.get(0);
                let answer = doh::exchange(&mut sender, request, body)
                    .await
                    .map_err(io::Error::other)??;
                check(&answer, queries)?;
                let mut held = Vec::new();
                for _ in 0..streams {
                    std::future::poll_fn(|context| sender.poll_ready(context))
                        .await
                        .map_err(io::Error::other)?;
                    let (request, _) = requests.get(0);
                    held.push(sender.send_request(request, false).map_err(io::Error::other)?);
                }
                Ok(Http {
                    driver,
                    _sender: sender,
                    streams: held,
                })
            };
            let opened: io::Result<Http> = self.runtime.block_on(open);
            self.http.push(opened?);
        }
        Ok(())
    }

    /// How many are still open, and how many streams on them.
    pub fn held(&mut self) -> (usize, usize) {
        self.runtime.block_on(async {
            for _ in 0..TURNS {
                yield_now().await;
            }
        });
        let tcp = self
            .tcp
            .iter_mut()
            .filter_map(|stream| is_open(stream).then_some(()));
        let tls = self
            .tls
            .iter_mut()
            .filter_map(|stream| is_open(stream).then_some(()));
        let connections = tcp.count() + tls.count() + self.http.iter().filter(|http| http.is_open()).count();
        let streams = self.http.iter_mut().map(Http::open_streams).sum();
        (connections, streams)
    }
}

impl Http {
    fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }

    fn open_streams(&mut self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let pending = self.streams.iter_mut().filter_map(|(response, _)| {
            let polled = std::pin::Pin::new(response).poll(&mut context);
            matches!(polled, Poll::Pending).then_some(())
        });
        pending.count()
    }
}

fn ask(stream: &mut (impl Read + Write), queries: &Queries) -> io::Result<()> {
    let query = queries.get(0);
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
    stream.flush()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    check(&answer, queries)
}

fn check(answer: &[u8], queries: &Queries) -> io::Result<()> {
    if queries.accepts(0, answer, Expect::NOERROR) {
        Ok(())
    } else {
        let rcode = answer.get(3).map_or(0, |flags| flags & 0x0f);
        Err(io::Error::other(format!("a wrong answer with rcode {rcode}")))
    }
}

fn is_open(stream: &mut impl Read) -> bool {
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// How often the runtime looks at what has come, some dozens of events each.
const TURNS: usize = 2_000;
