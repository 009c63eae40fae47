//! Words of the Corefile to addresses.

use std::net::{IpAddr, SocketAddr};

use catena_core::corefile::{ConfigError, Token};
use catena_core::net::sockets::interface_addresses;
use catena_core::plugin::ListenHost;

/// The address that the word is, or all addresses of the interface that it names.
pub(crate) fn resolve(word: &Token) -> Result<Vec<ListenHost>, ConfigError> {
    let text = word.as_str();
    // An interface can have any name, even one that reads as an address: CoreDNS looks for it first.
    let found = interface_addresses(text, 0);
    if let Ok(addresses) = &found
        && !addresses.is_empty()
    {
        return Ok(addresses
            .iter()
            .map(|address| of_interface(*address, word))
            .collect());
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        let span = Some(word.span().clone());
        return Ok(vec![ListenHost {
            ip,
            scope: 0,
            text: ip.to_string(),
            span,
        }]);
    }
    let mut error = word.expected("an IP address or the name of an interface");
    if let Err(cause) = found {
        error = error.with_note(format!("the system does not tell its interfaces: {cause}"));
    }
    if text.parse::<SocketAddr>().is_ok() {
        error = error.with_note("the port stands in the server block's key");
    }
    Err(error)
}

/// An address with the interface's name where it means nothing without.
fn of_interface(address: SocketAddr, name: &Token) -> ListenHost {
    let scope = match address {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let ip = address.ip();
    let text = if scope == 0 {
        ip.to_string()
    } else {
        format!("{ip}%{name}")
    };
    ListenHost {
        ip,
        scope,
        text,
        span: Some(name.span().clone()),
    }
}
