//! The server asks its own endpoint once a second: how long that takes tells whether it keeps up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::metrics::Metrics;

/// Between two checks.
const INTERVAL: Duration = Duration::from_secs(1);

/// After this a check has failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// A local request that takes longer is worth a warning.
const SLOW: Duration = Duration::from_secs(1);

/// What a good answer begins with.
const GOOD: &[u8] = b"HTTP/1.1 ";

/// Checks an endpoint for ever.
pub(crate) async fn run(listening: SocketAddr, metrics: Metrics) {
    run_every(INTERVAL, listening, metrics).await;
}

async fn run_every(interval: Duration, listening: SocketAddr, metrics: Metrics) {
    let address = reachable(listening);
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let start = Instant::now();
        let result = timeout(PATIENCE, ask(address)).await;
        let elapsed = start.elapsed();
        let failure = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {PATIENCE:?}")),
        };
        metrics.checked(elapsed, failure.is_some());
        if let Some(failure) = failure {
            tracing::warn!(target: "plugin/health", "Local health request to \"http://{address}/health\" failed: {failure}");
        } else if elapsed > SLOW {
            tracing::warn!(
                target: "plugin/health",
                "Local health request to \"http://{address}/health\" took more than 1s: {elapsed:?}"
            );
        }
    }
}

/// Where a socket on all addresses can be reached.
fn reachable(listening: SocketAddr) -> SocketAddr {
    if listening.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listening.port())
    } else {
        listening
    }
}

async fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; GOOD.len()];
    stream.read_exact(&mut start).await?;
    if start != *GOOD {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is not HTTP",
        ));
    }
    // The rest is read so that the connection ends in order, but nothing depends on it.
    let mut rest = Vec::new();
    stream.take(4096).read_to_end(&mut rest).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_metrics::Registry;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn checks_are_counted_and_failures_too() {
        let registry = Registry::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let checking = tokio::spawn(run_every(
            Duration::from_millis(1),
            address,
            Metrics::new(&registry),
        ));
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK")
            .await
            .unwrap();
        drop(stream);
        // The second one gets something else.
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-nonsense\r\n").await.unwrap();
        drop(stream);
        // At the third one the second is counted.
        let _third = listener.accept().await.unwrap();
        checking.abort();
        let mut text = String::new();
        registry.encode_text(&mut text);
        assert!(
            text.contains("coredns_health_request_duration_seconds_count 2\n"),
            "{text}"
        );
        assert!(
            text.contains("coredns_health_request_failures_total 1\n"),
            "{text}"
        );
        assert!(
            text.contains("coredns_health_request_duration_seconds_bucket{le=\"0.00025\"} "),
            "{text}"
        );
    }

    #[test]
    fn a_wildcard_is_reached_by_the_loopback_address() {
        for (listening, want) in [
            ("[::]:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(reachable(listening.parse().unwrap()).to_string(), want);
        }
    }
}
