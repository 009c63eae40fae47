//! The upstream's sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use catena_core::message::Transport;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

use super::behaviour::Step;
use super::{Command, Seen, State};
use crate::wait::eventually;

/// Serves until nobody can send commands any more.
pub(super) fn run(state: &Arc<State>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut life: Option<Life> = None;
        while let Some(command) = commands.recv().await {
            let done = match command {
                Command::Stop(done) => {
                    if let Some(life) = life.take() {
                        life.end().await;
                    }
                    done
                }
                Command::Revive(done) => {
                    if life.is_none() {
                        life = Some(Life::begin(state));
                    }
                    done
                }
            };
            // The test waits for it, unless it has failed.
            let _ = done.send(());
        }
    });
}

/// Everything that runs between a start and a stop.
struct Life {
    tasks: JoinSet<()>,
    #[cfg(feature = "encrypted")]
    endpoint: Option<quinn::Endpoint>,
}

impl Life {
    fn begin(state: &Arc<State>) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, state.port.number()));
        // A port that was given back may be an outgoing connection's for a moment.
        let (udp, tcp) = eventually("the upstream's port", || open(address).ok());
        let mut tasks = JoinSet::new();
        #[cfg(feature = "encrypted")]
        if let Some(secure) = state.secure.clone() {
            use super::secure;
            if secure.is_quic() {
                let socket = udp.into_std().expect("the upstream's socket");
                let endpoint = secure::open_quic(socket, &secure);
                tasks.spawn(secure::serve_quic(endpoint.clone(), secure, Arc::clone(state)));
                let endpoint = Some(endpoint);
                return Self { tasks, endpoint };
            }
            tasks.spawn(secure::serve_streams(tcp, secure, Arc::clone(state)));
            return Self {
                tasks,
                endpoint: None,
            };
        }
        tasks.spawn(serve_udp(Arc::new(udp), Arc::clone(state)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(state)));
        Self {
            tasks,
            #[cfg(feature = "encrypted")]
            endpoint: None,
        }
    }

    async fn end(mut self) {
        self.tasks.shutdown().await;
        #[cfg(feature = "encrypted")]
        if let Some(endpoint) = self.endpoint.take() {
            super::secure::leave_port(&endpoint).await;
        }
    }
}

fn open(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let udp = std::net::UdpSocket::bind(address)?;
    udp.set_nonblocking(true)?;
    let tcp = TcpSocket::new_v4()?;
    tcp.set_reuseaddr(true)?;
    tcp.bind(address)?;
    Ok((UdpSocket::from_std(udp)?, tcp.listen(1024)?))
}

async fn serve_udp(socket: Arc<UdpSocket>, state: Arc<State>) {
    let mut buffer = vec![0; 65_535];
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        // An error is what an earlier answer met, such as a client that is gone.
        let Ok((len, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let play = note(&state, Transport::Udp, peer, buffer[..len].to_vec());
        tasks.spawn(play_udp(play, Arc::clone(&socket), peer));
    }
}

async fn play_udp(mut play: Play, socket: Arc<UdpSocket>, peer: SocketAddr) {
    for step in play.steps {
        // Whether the client is still there is its business.
        match step {
            Step::Send(wire) | Step::SendRaw(wire) => drop(socket.send_to(&wire, peer).await),
            Step::SendFromElsewhere(wire) => {
                if let Ok(elsewhere) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await {
                    drop(elsewhere.send_to(&wire, peer).await);
                }
            }
            Step::Close => {}
            step => pause(&step, &mut play.released).await,
        }
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, peer)) = listener.accept().await {
            connections.spawn(serve_connection(stream, Transport::Tcp, peer, Arc::clone(&state)));
        }
    }
}

/// Reads queries; each is played on its own, so that a later one can be answered first.
pub(super) async fn serve_connection<S>(stream: S, transport: Transport, peer: SocketAddr, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let writer = Arc::new(Mutex::new(writer));
    let (close, mut closed) = mpsc::channel::<()>(1);
    let mut tasks = JoinSet::new();
    loop {
        let wire = tokio::select! {
            wire = read_frame(&mut reader) => wire,
            _ = closed.recv() => return,
        };
        let Ok(wire) = wire else {
            break;
        };
        let play = note(&state, transport, peer, wire);
        tasks.spawn(play_tcp(play, Arc::clone(&writer), close.clone()));
    }
    // The client sends no more; what it has asked is still answered.
    tasks.join_all().await;
}

async fn read_frame(reader: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = reader.read_u16().await?;
    let mut wire = vec![0; usize::from(length)];
    reader.read_exact(&mut wire).await?;
    Ok(wire)
}

async fn play_tcp<S: AsyncWrite>(mut play: Play, writer: Arc<Mutex<WriteHalf<S>>>, close: mpsc::Sender<()>) {
    for step in play.steps {
        match step {
            Step::Send(wire) | Step::SendFromElsewhere(wire) => {
                let length = u16::try_from(wire.len()).unwrap_or(u16::MAX).to_be_bytes();
                write(&writer, &[&length, wire.as_slice()].concat()).await;
            }
            Step::SendRaw(wire) => write(&writer, &wire).await,
            Step::Close => {
                let _ = close.send(()).await;
                return;
            }
            step => pause(&step, &mut play.released).await,
        }
    }
}

/// Whether the client is still there is its business.
async fn write<S: AsyncWrite>(writer: &Mutex<WriteHalf<S>>, bytes: &[u8]) {
    let mut writer = writer.lock().await;
    if writer.write_all(bytes).await.is_ok() {
        let _ = writer.flush().await;
    }
}

pub(super) async fn pause(step: &Step, released: &mut watch::Receiver<u64>) {
    match step {
        Step::Wait(delay) => tokio::time::sleep(*delay).await,
        // The sender lives as long as the upstream.
        Step::Hold => drop(released.changed().await),
        _ => {}
    }
}

/// What is done for one query.
pub(super) struct Play {
    pub(super) steps: Vec<Step>,
    /// Changes when the test releases what is held from now on.
    pub(super) released: watch::Receiver<u64>,
}

/// Decides what to do with a query, and shows it to the test.
pub(super) fn note(state: &State, transport: Transport, peer: SocketAddr, wire: Vec<u8>) -> Play {
    let seen = Seen {
        transport,
        peer,
        wire,
    };
    let steps = state.script.change(|script| {
        let behaviour = match transport {
            Transport::Udp => &mut script.udp,
            _ => &mut script.tcp,
        };
        behaviour.steps(&seen, &script.zone)
    });
    // Before the test sees the query: what it releases then is this one too.
    let released = state.released.subscribe();
    state.seen.change(|all| all.push(seen));
    Play { steps, released }
}
