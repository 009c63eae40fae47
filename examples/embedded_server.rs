//! A DNS server inside a program: started, asked, given another configuration, stopped.
//!
//! ```text
//! cargo run --example embedded_server
//! ```

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use catena::instance::{CorefileSource, Options, Server};
use catena::message::{QueryBuilder, Response};
use tokio::net::UdpSocket;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = free_port()?;
    let corefile = std::env::temp_dir().join(format!("embedded-{port}.corefile"));
    std::fs::write(&corefile, configuration(port, "192.0.2.1"))?;

    let mut options = Options::new(
        CorefileSource::File(corefile.clone()),
        catena::plugins::registry(),
    );
    options.workers = 1;
    let server = Server::start(options).await?;
    // The handle works from anywhere; `run` serves until it is used to stop.
    let control = server.control();
    let serving = tokio::spawn(server.run());

    println!("{}", ask(port).await?);
    std::fs::write(&corefile, configuration(port, "192.0.2.2"))?;
    control.reload().await?;
    println!("{}", ask(port).await?);

    control.stop(0);
    let status = serving.await?;
    std::fs::remove_file(&corefile)?;
    println!("The server ended with status {status}.");
    Ok(())
}

fn configuration(port: u16, address: &str) -> String {
    format!(
        "example.org:{port} {{
            bind 127.0.0.1
            hosts {{
                {address} www.example.org
            }}
        }}"
    )
}

/// Asks for the address of www.example.org, and describes the answer.
async fn ask(port: u16) -> Result<String, Box<dyn Error>> {
    let query = QueryBuilder::new("www.example.org.", 1_u16)?.id(1).to_wire();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket
        .connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await?;
    socket.send(&query).await?;
    let mut answer = vec![0; 512];
    let len = socket.recv(&mut answer).await?;
    answer.truncate(len);
    let message = Response::from_wire(answer)?.message()?;
    let records: Vec<String> = message.answers.iter().map(ToString::to_string).collect();
    Ok(records.join("\n"))
}

/// A port that nobody uses now. It lies below those that the system gives to clients, any of which may be taken at the
/// next moment.
fn free_port() -> std::io::Result<u16> {
    let is_free = |port: &u16| {
        std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
            && std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let port = (5300..5400).find(is_free);
    port.ok_or_else(|| std::io::Error::other("ports 5300 to 5399 are all in use"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_runs_to_its_end() {
        super::main().expect("a server that starts, reloads and stops");
    }
}
