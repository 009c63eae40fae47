//! Making queries: probes to upstreams, and tests.

use super::edns;
use super::name::{MAX_NAME_LEN, NameError, QName, parse_presentation};
use super::request::{QueryError, Request};
use super::transport::Transport;
use super::wire::{AD, CD, CLASS_IN, HEADER_LEN, RD, put_u16, u16_at};

/// Writes one query.
#[derive(Clone, Debug)]
pub struct QueryBuilder {
    id: u16,
    flags: u16,
    name: Vec<u8>,
    qtype: u16,
    qclass: u16,
    edns: Option<(u16, u8, bool)>,
    options: Vec<(u16, Vec<u8>)>,
}

impl QueryBuilder {
    /// Asks for `name`, in presentation form, with RD set, id 0 and without EDNS. Letters are kept.
    ///
    /// # Errors
    ///
    /// See [`QName::from_presentation`].
    pub fn new(name: &str, qtype: impl Into<u16>) -> Result<Self, NameError> {
        let mut wire = [0; MAX_NAME_LEN];
        let len = parse_presentation(name.as_bytes(), &mut wire)?;
        Ok(Self::of_wire(&wire[..len], qtype))
    }

    /// Asks for a name that is there already.
    #[must_use]
    pub fn of_name(name: &QName, qtype: impl Into<u16>) -> Self {
        Self::of_wire(name.as_wire(), qtype)
    }

    fn of_wire(name: &[u8], qtype: impl Into<u16>) -> Self {
        Self {
            id: 0,
            flags: RD,
            name: name.to_vec(),
            qtype: qtype.into(),
            qclass: CLASS_IN,
            edns: None,
            options: Vec::new(),
        }
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// Sets the class.
    #[must_use]
    pub fn class(mut self, qclass: u16) -> Self {
        self.qclass = qclass;
        self
    }

    /// Sets the opcode: 0 is QUERY, 4 is NOTIFY.
    #[must_use]
    pub fn opcode(mut self, opcode: u8) -> Self {
        self.flags = self.flags & 0x87ff | u16::from(opcode & 0xf) << 11;
        self
    }

    fn flag(mut self, flag: u16, on: bool) -> Self {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    /// Sets or clears RD.
    #[must_use]
    pub fn recursion_desired(self, on: bool) -> Self {
        self.flag(RD, on)
    }

    /// Sets or clears CD.
    #[must_use]
    pub fn checking_disabled(self, on: bool) -> Self {
        self.flag(CD, on)
    }

    /// Sets or clears AD.
    #[must_use]
    pub fn authentic_data(self, on: bool) -> Self {
        self.flag(AD, on)
    }

    /// Adds an OPT record of version 0.
    #[must_use]
    pub fn edns(self, udp_size: u16, dnssec_ok: bool) -> Self {
        self.edns_version(udp_size, 0, dnssec_ok)
    }

    /// Adds an OPT record.
    #[must_use]
    pub fn edns_version(mut self, udp_size: u16, version: u8, dnssec_ok: bool) -> Self {
        self.edns = Some((udp_size, version, dnssec_ok));
        self
    }

    /// Adds an option, and an OPT record with 1232 bytes if there is none.
    #[must_use]
    pub fn option(mut self, code: u16, value: &[u8]) -> Self {
        self.edns.get_or_insert((1232, 0, false));
        self.options.push((code, value.to_vec()));
        self
    }

    /// The query's bytes.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(HEADER_LEN + self.name.len() + 4 + edns::OPT_LEN);
        wire.resize(HEADER_LEN, 0);
        put_u16(&mut wire, 0, self.id);
        put_u16(&mut wire, 2, self.flags);
        put_u16(&mut wire, 4, 1);
        wire.extend_from_slice(&self.name);
        wire.extend_from_slice(&self.qtype.to_be_bytes());
        wire.extend_from_slice(&self.qclass.to_be_bytes());
        if let Some((udp_size, version, dnssec_ok)) = self.edns {
            let at = edns::push_opt(&mut wire, udp_size, 0, dnssec_ok);
            let field = u16_at(&wire, at + 4) | u16::from(version);
            put_u16(&mut wire, at + 4, field);
            for (code, value) in &self.options {
                edns::push_option(&mut wire, at, *code, value);
            }
        }
        wire
    }

    /// The query as a request that came over UDP.
    ///
    /// # Errors
    ///
    /// See [`Request::reset`].
    pub fn to_request(&self) -> Result<Request, QueryError> {
        Request::from_wire_for_tests(&self.to_wire())
    }

    /// The query as a request that came over another transport.
    ///
    /// # Errors
    ///
    /// See [`Request::reset`].
    pub fn to_request_over(&self, transport: Transport) -> Result<Request, QueryError> {
        Request::from_wire_over(&self.to_wire(), transport)
    }
}
