//! What is asked.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use catena_core::message::{QueryBuilder, Transport};

use crate::over::Over;
use crate::ports::random_u16;
use crate::record::{class_code, type_code};

/// How long an answer may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One query, and how it is sent.
///
/// Text becomes a query: a name, a type, perhaps a class, and words as `dig` has them: `+tcp`, `+norec`, `+cd`, `+ad`,
/// `+edns` (with 1232 bytes), `+bufsize=N`, `+do`, `+id=N`. With the feature `encrypted`, the words of [`Over`] name the
/// other transports: `+tls`, `+https`, `+https-get`, `+http1`, `+http1-get`, `+https3`, `+https3-get`, `+quic`, `+grpc`.
///
/// ```
/// use catena_testkit::Query;
///
/// let query = Query::from("www.Example.org. AAAA +tcp +bufsize=4096 +do");
/// assert_eq!(query.question(), "www.Example.org. IN AAAA");
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    text: String,
    builder: QueryBuilder,
    over: Over,
    source: IpAddr,
    timeout: Duration,
    raw: Option<Vec<u8>>,
}

impl Query {
    /// Asks for the records of a name, over UDP, with RD set, a random id, and without EDNS.
    ///
    /// # Panics
    ///
    /// The name is no domain name, or the type is unknown.
    #[track_caller]
    #[must_use]
    pub fn new(name: &str, rtype: &str) -> Self {
        let code = type_code(rtype).unwrap_or_else(|| panic!("`{rtype}` is no record type"));
        let builder = QueryBuilder::new(name, code)
            .unwrap_or_else(|error| panic!("`{name}` is no domain name: {error}"));
        Self {
            text: format!("{name} IN {rtype}"),
            builder: builder.id(random_u16()),
            over: Over::Udp,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            timeout: PATIENCE,
            raw: None,
        }
    }

    /// Sends these bytes, whatever they mean.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let mut query = Self::new(".", "NS");
        query.raw = Some(bytes.into());
        "bytes".clone_into(&mut query.text);
        query
    }

    /// Sends it over TCP.
    #[must_use]
    pub fn tcp(self) -> Self {
        self.over(Over::Tcp)
    }

    /// Sends it this way; others than UDP and TCP need the feature `encrypted`.
    #[must_use]
    pub fn over(mut self, over: Over) -> Self {
        self.over = over;
        self
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: u16) -> Self {
        self.builder = self.builder.id(id);
        self
    }

    /// Changes the message: class, opcode, flags, EDNS and its options.
    ///
    /// ```
    /// # use catena_testkit::Query;
    /// Query::new("example.org.", "SOA").with(|message| message.edns(4096, true).option(10, &[0; 8]));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(QueryBuilder) -> QueryBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// Sends it from this address; any of 127.0.0.0/8 will do for a server on loopback.
    #[must_use]
    pub fn from_address(mut self, source: IpAddr) -> Self {
        self.source = source;
        self
    }

    /// How long the answer may take; a minute by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The question, for messages.
    #[must_use]
    pub fn question(&self) -> &str {
        &self.text
    }

    /// The message's bytes.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        self.raw.clone().unwrap_or_else(|| self.builder.to_wire())
    }

    pub(crate) fn transport(&self) -> Transport {
        self.over.transport()
    }

    #[cfg(feature = "encrypted")]
    pub(crate) fn way(&self) -> Over {
        self.over
    }

    #[cfg(feature = "encrypted")]
    pub(crate) fn is_raw(&self) -> bool {
        self.raw.is_some()
    }

    pub(crate) fn source(&self) -> IpAddr {
        self.source
    }

    pub(crate) fn patience(&self) -> Duration {
        self.timeout
    }
}

impl From<&str> for Query {
    #[track_caller]
    fn from(text: &str) -> Self {
        let (options, words): (Vec<&str>, Vec<&str>) =
            text.split_whitespace().partition(|word| word.starts_with('+'));
        let (name, rtype, class) = match words[..] {
            [name] => (name, "A", "IN"),
            [name, rtype] => (name, rtype, "IN"),
            [name, rtype, class] => (name, rtype, class),
            _ => panic!("`{text}` is no query: a name, a type and a class are expected"),
        };
        let code = class_code(class).unwrap_or_else(|| panic!("`{class}` is no class"));
        let mut query = Self::new(name, rtype).with(|message| message.class(code));
        query.text = format!("{name} {class} {rtype}");
        let size = options
            .iter()
            .find_map(|option| option.strip_prefix("+bufsize=").map(number));
        let plain = options.iter().any(|option| matches!(*option, "+edns" | "+do"));
        let edns = if plain { size.or(Some(1232)) } else { size };
        if let Some(size) = edns {
            query = query.with(|message| message.edns(size, options.contains(&"+do")));
        }
        options.into_iter().fold(query, Self::option)
    }
}

impl Query {
    #[track_caller]
    fn option(self, option: &str) -> Self {
        match option.split_once('=').unwrap_or((option, "")) {
            ("+norec", "") => self.with(|message| message.recursion_desired(false)),
            ("+cd", "") => self.with(|message| message.checking_disabled(true)),
            ("+ad", "") => self.with(|message| message.authentic_data(true)),
            ("+edns" | "+do", "") | ("+bufsize", _) => self,
            ("+id", id) => self.id(number(id)),
            (word, "") => match Over::from_word(&word[1..]) {
                Some(over) => self.over(over),
                None => panic!("`{option}` is no option of a query"),
            },
            _ => panic!("`{option}` is no option of a query"),
        }
    }
}

#[track_caller]
fn number(text: &str) -> u16 {
    text.parse()
        .unwrap_or_else(|_| panic!("`{text}` is no number up to 65535"))
}

impl From<&Self> for Query {
    fn from(query: &Self) -> Self {
        query.clone()
    }
}

impl From<&String> for Query {
    #[track_caller]
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Query {
    #[track_caller]
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_core::message::Request;

    #[test]
    fn the_words_of_dig_set_what_they_say() {
        let query = Query::from("version.bind. TXT CH +norec +cd +ad +do +bufsize=4000 +id=77 +tcp");
        assert_eq!(query.transport(), Transport::Tcp);
        let request = Request::from_wire_for_tests(&query.to_wire()).expect("a query");
        assert_eq!(
            (request.id(), request.qclass_code(), request.qtype_code()),
            (77, 3, 16)
        );
        assert_eq!((request.rd(), request.cd(), request.ad()), (false, true, true));
        let edns = request.edns().expect("EDNS");
        assert_eq!((edns.udp_size, edns.dnssec_ok), (4000, true));
    }

    #[test]
    #[should_panic(expected = "`+tpc` is no option of a query")]
    fn a_misspelt_option_is_noticed() {
        let _ = Query::from("example.org. A +tpc");
    }
}
