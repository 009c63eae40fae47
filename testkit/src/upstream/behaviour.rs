//! What an upstream does with a query.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use catena_core::message::{Rcode, Request, Response, Transport, fit};

use super::Seen;
use crate::ports::random_u16;
use crate::zone::ZoneData;

/// One thing that an upstream does for a query, in a script of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Closes the connection; over UDP it does nothing.
    Close,
    /// Waits for [`Upstream::release`](super::Upstream::release).
    Hold,
    /// Sends these bytes; over TCP with their length before them.
    Send(Vec<u8>),
    /// Sends these bytes from another port; over TCP like `Send`.
    SendFromElsewhere(Vec<u8>),
    /// Sends these bytes without a length before them.
    SendRaw(Vec<u8>),
    /// Waits so long.
    Wait(Duration),
}

/// An answer that is not the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lie {
    /// A datagram without a byte.
    Empty,
    /// FORMERR with the right id and nothing else.
    FormErr,
    /// The right id, and bytes behind it that are no message.
    Garbage,
    /// The query itself, which is no response.
    NotAResponse,
    /// The answer with another id.
    OtherId,
    /// The answer to the same name with one letter in the other case, if it has letters.
    OtherLetterCase,
    /// The answer with another name in the question.
    OtherName,
    /// The answer from another port.
    OtherPort,
    /// The answer with another type in the question.
    OtherType,
    /// The first eleven bytes of the answer.
    Short,
}

impl Lie {
    /// Every lie that there is.
    pub const ALL: [Self; 10] = [
        Self::Empty,
        Self::FormErr,
        Self::Garbage,
        Self::NotAResponse,
        Self::OtherId,
        Self::OtherLetterCase,
        Self::OtherName,
        Self::OtherPort,
        Self::OtherType,
        Self::Short,
    ];

    /// The lie in place of the answer `honest` to `query`.
    fn tell(self, query: &[u8], honest: &[u8], question_len: usize) -> Step {
        let mut wire = honest.to_vec();
        let type_at = HEADER + question_len.saturating_sub(4);
        match self {
            Self::Empty => wire.clear(),
            Self::FormErr => {
                wire.truncate(HEADER);
                wire[3] = wire[3] & 0xf0 | 1;
                wire[4..].fill(0);
            }
            Self::Garbage => {
                wire.truncate(2);
                wire.extend(
                    std::iter::repeat_with(random_u16)
                        .take(40)
                        .flat_map(u16::to_be_bytes),
                );
                wire[2] |= 0x80;
                // One question whose name is a pointer to itself.
                wire[4..8].copy_from_slice(&[0, 1, 0, 1]);
                wire[12..14].copy_from_slice(&[0xc0, 12]);
            }
            Self::NotAResponse => wire = query.to_vec(),
            Self::OtherId => wire[1] ^= 1,
            Self::OtherLetterCase => {
                if let Some(letter) = wire[HEADER..type_at]
                    .iter_mut()
                    .find(|byte| byte.is_ascii_alphabetic())
                {
                    *letter ^= 0x20;
                }
            }
            Self::OtherName => match wire.get_mut(HEADER + 1..type_at).and_then(<[u8]>::first_mut) {
                Some(letter) if type_at > HEADER + 1 => *letter = if *letter == b'x' { b'y' } else { b'x' },
                _ => wire[1] ^= 1,
            },
            Self::OtherPort => return Step::SendFromElsewhere(wire),
            Self::OtherType => wire[type_at + 1] ^= 0x40,
            Self::Short => wire.truncate(HEADER - 1),
        }
        Step::Send(wire)
    }
}

const HEADER: usize = 12;

/// How an upstream treats the queries that come; by default it answers them at once.
#[derive(Clone, Default)]
pub struct Behaviour {
    delay: Duration,
    held: bool,
    silent: bool,
    drop_first: usize,
    truncated: bool,
    rcode: Option<Rcode>,
    lies: Vec<Lie>,
    close: bool,
    script: Option<Arc<SeenScript>>,
}

type SeenScript = dyn Fn(&Seen, &[u8]) -> Vec<Step> + Send + Sync;

impl Behaviour {
    /// Answers at once.
    #[must_use]
    pub fn honest() -> Self {
        Self::default()
    }

    /// Never answers.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            silent: true,
            ..Self::default()
        }
    }

    /// Answers what `script` makes of a query and its honest answer, step by step.
    #[must_use]
    pub fn scripted(script: impl Fn(&Seen, &[u8]) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self {
            script: Some(Arc::new(script)),
            ..Self::default()
        }
    }

    /// Answers so much later. Lies are not delayed.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Answers when the test says [`Upstream::release`](super::Upstream::release). Lies are not held.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// Ignores so many queries first.
    #[must_use]
    pub fn dropping_first(mut self, count: usize) -> Self {
        self.drop_first = count;
        self
    }

    /// Answers over UDP with TC and no records.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.truncated = true;
        self
    }

    /// Answers with this RCODE, by its name, and no records.
    ///
    /// # Panics
    ///
    /// There is no such RCODE.
    #[track_caller]
    #[must_use]
    pub fn rcode(mut self, rcode: &str) -> Self {
        self.rcode = Some(Rcode::from_name(rcode).unwrap_or_else(|| panic!("`{rcode}` is no RCODE")));
        self
    }

    /// Sends a lie before the answer; with [`Behaviour::only_lying`] in its place. Several calls, several lies.
    #[must_use]
    pub fn lying(mut self, lie: Lie) -> Self {
        self.lies.push(lie);
        self
    }

    /// Sends a lie and no answer.
    #[must_use]
    pub fn only_lying(lie: Lie) -> Self {
        Self::silent().lying(lie)
    }

    /// Closes a TCP connection on each query, unanswered.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// What to do with the next query.
    pub(super) fn steps(&mut self, seen: &Seen, zone: &ZoneData) -> Vec<Step> {
        if self.drop_first > 0 {
            self.drop_first -= 1;
            return Vec::new();
        }
        let Ok(mut request) = Request::from_wire_over(&seen.wire, seen.transport) else {
            return Vec::new();
        };
        if self.close && seen.transport != Transport::Udp {
            return vec![Step::Close];
        }
        let honest = self.answer(&mut request, zone);
        if let Some(script) = &self.script {
            return script(seen, &honest);
        }
        let question_len = request.question().len();
        let lie = |lie: &Lie| lie.tell(&seen.wire, &honest, question_len);
        let mut steps: Vec<Step> = self.lies.iter().map(lie).collect();
        if !self.delay.is_zero() {
            steps.push(Step::Wait(self.delay));
        }
        if self.held {
            steps.push(Step::Hold);
        }
        if !self.silent {
            steps.push(Step::Send(honest));
        }
        steps
    }

    fn answer(&self, request: &mut Request, zone: &ZoneData) -> Vec<u8> {
        let empty = |request: &mut Request, change: &dyn Fn(&mut Response)| {
            let mut response = request.reply().recursion_available(true).finish();
            change(&mut response);
            response
        };
        let response = match self.rcode {
            Some(rcode) => empty(request, &|response| response.set_rcode(rcode)),
            None if self.truncated && request.transport() == Transport::Udp => {
                empty(request, &|response| response.set_tc(true))
            }
            None => zone.answer(request, |reply| {
                reply.recursion_available(true);
            }),
        };
        fit(response, request)
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("delay", &self.delay)
            .field("held", &self.held)
            .field("silent", &self.silent)
            .field("drop_first", &self.drop_first)
            .field("truncated", &self.truncated)
            .field("rcode", &self.rcode)
            .field("lies", &self.lies)
            .field("close", &self.close)
            .field("scripted", &self.script.is_some())
            .finish()
    }
}
