//! The upstream over HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;

use catena_core::message::Transport;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::State;
use super::behaviour::Step;
use super::secure::in_path;
use super::serve::{Play, note, pause};

/// Answers one request after the other until the client has no more.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, peer: SocketAddr, state: Arc<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(wire) = request(&mut stream).await {
        let Play { steps, mut released } = note(&state, Transport::Https, peer, wire);
        let mut answered = false;
        let mut steps = steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            match step {
                Step::Send(wire) | Step::SendFromElsewhere(wire) | Step::SendRaw(wire) => {
                    // Whether the client is still there is its business.
                    let closes = matches!(steps.peek(), Some(Step::Close));
                    let _ = respond(&mut stream, &wire, closes).await;
                    answered = true;
                }
                Step::Close => return,
                step => pause(&step, &mut released).await,
            }
        }
        if !answered {
            // Without an answer the connection stays open, as long as the client wants it.
            let _ = stream.read(&mut [0]).await;
            return;
        }
    }
}

/// The query in a request; none where there is no request any more, or no query in it.
async fn request<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Vec<u8>> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split(' ');
    let (method, uri) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let (mut length, mut host) = (0, false);
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "host" => host = true,
            _ => {}
        }
    }
    if !host {
        return None;
    }
    if method == "GET" {
        return in_path(&uri);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

/// `closes` says that there will be no other response (RFC 9112, section 9.6).
async fn respond<S: AsyncWrite + Unpin>(stream: &mut S, wire: &[u8], closes: bool) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/dns-message\r\n{}content-length: {}\r\n\r\n",
        if closes { "connection: close\r\n" } else { "" },
        wire.len()
    );
    stream.write_all(&[head.as_bytes(), wire].concat()).await?;
    stream.flush().await
}
