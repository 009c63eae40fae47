//! Queries made beforehand, and the check of what comes back for them.

/// A list of queries in wire form, id 0, one for each name.
#[derive(Clone)]
pub struct Queries {
    wire: Vec<u8>,
    ends: Vec<usize>,
    edns: bool,
}

/// What an answer must look like to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expect {
    /// The rcode in the header.
    pub rcode: u8,
    /// The least number of records in the answer section.
    pub answers: u16,
}

impl Expect {
    /// NOERROR with at least one answer.
    pub const ANSWER: Self = Self { rcode: 0, answers: 1 };
    /// NOERROR, whatever it holds: `whoami` has its records in the additional section.
    pub const NOERROR: Self = Self { rcode: 0, answers: 0 };
}

impl Queries {
    /// One query of type A for each name; with `edns`, each carries an OPT record of size 1232.
    ///
    /// A label that is too long is cut: the names are our own.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, edns: bool) -> Self {
        let mut queries = Self::none(edns);
        for name in names {
            queries.add(name);
        }
        queries
    }

    /// No queries yet.
    pub fn none(edns: bool) -> Self {
        Self {
            wire: Vec::new(),
            ends: Vec::new(),
            edns,
        }
    }

    /// Adds one of type A.
    pub fn add(&mut self, name: &str) {
        let additional = u8::from(self.edns);
        self.wire
            .extend_from_slice(&[0, 0, FLAG_RD, 0, 0, 1, 0, 0, 0, 0, 0, additional]);
        for label in name.split('.').filter(|label| !label.is_empty()) {
            let label = &label.as_bytes()[..label.len().min(63)];
            self.wire.push(label.len() as u8);
            self.wire.extend_from_slice(label);
        }
        self.wire.extend_from_slice(&[0, 0, TYPE_A, 0, CLASS_IN]);
        if self.edns {
            self.wire.extend_from_slice(&OPT);
        }
        self.ends.push(self.wire.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The query number `index`, counted round.
    pub fn get(&self, index: usize) -> &[u8] {
        let index = index % self.ends.len().max(1);
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.ends.get(index).map_or(&[], |end| &self.wire[start..*end])
    }

    /// Whether `answer` is a good answer to query `index`: it has QR, the rcode, as many answers as expected, and the
    /// question as it was asked. The id is the caller's to compare.
    pub fn accepts(&self, index: usize, answer: &[u8], expect: Expect) -> bool {
        let query = self.get(index);
        let question_end = query.len() - if self.edns { OPT.len() } else { 0 };
        let Some(header) = answer.first_chunk::<HEADER>() else {
            return false;
        };
        header[2] & FLAG_QR != 0
            && header[3] & 0x0f == expect.rcode
            && header[4..6] == [0, 1]
            && u16::from_be_bytes([header[6], header[7]]) >= expect.answers
            && answer.get(HEADER..question_end) == query.get(HEADER..question_end)
    }
}

/// Writes the answer of a bare server to `query`: its question, one A record and OPT if it had one.
///
/// Returns false, and writes nothing, when it is no query.
pub fn answer(query: &[u8], ttl: u32, answer: &mut Vec<u8>) -> bool {
    answer.clear();
    let Some(end) = question_end(query) else {
        return false;
    };
    if query[2] & FLAG_QR != 0 {
        return false;
    }
    let additional = u8::from(query[10..12] != [0, 0]);
    answer.extend_from_slice(&query[..2]);
    let flags = [FLAG_QR | (query[2] & FLAG_RD), FLAG_RA | (query[3] & FLAG_CD)];
    answer.extend_from_slice(&flags);
    answer.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, additional]);
    answer.extend_from_slice(&query[HEADER..end]);
    answer.extend_from_slice(&[0xc0, HEADER as u8, 0, TYPE_A, 0, CLASS_IN]);
    answer.extend_from_slice(&ttl.to_be_bytes());
    answer.extend_from_slice(&[0, 4, 192, 0, 2, 1]);
    if additional == 1 {
        answer.extend_from_slice(&OPT);
    }
    true
}

/// Where the question of a message ends.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1 + length;
        match length {
            0 => break,
            64.. => return None,
            _ => {}
        }
    }
    (message.len() >= at + 4).then_some(at + 4)
}

const HEADER: usize = 12;
const FLAG_QR: u8 = 0x80;
const FLAG_RD: u8 = 0x01;
const FLAG_RA: u8 = 0x80;
const FLAG_CD: u8 = 0x10;
const TYPE_A: u8 = 1;
const CLASS_IN: u8 = 1;
/// An empty OPT record of size 1232.
const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_answer_is_accepted_for_its_own_query_only() {
        for edns in [false, true] {
            let queries = Queries::new(["a.example.org", "b.example.org."], edns);
            let mut reply = Vec::new();
            assert!(answer(queries.get(0), 0, &mut reply));
            assert!(queries.accepts(0, &reply, Expect::ANSWER));
            assert!(!queries.accepts(1, &reply, Expect::ANSWER), "another question");
            assert!(
                !queries.accepts(0, &reply, Expect { rcode: 3, answers: 0 }),
                "another rcode"
            );
            assert!(
                !queries.accepts(0, &reply, Expect { rcode: 0, answers: 2 }),
                "too few answers"
            );
            assert!(!queries.accepts(0, &reply[..20], Expect::ANSWER), "cut off");
            assert!(
                !queries.accepts(0, queries.get(0), Expect::NOERROR),
                "a query is no answer"
            );
            let mut letters = reply.clone();
            letters[13] = b'A';
            assert!(!queries.accepts(0, &letters, Expect::ANSWER), "other letters");
        }
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        let queries = Queries::new(["a.example.org"], true);
        let (mut reply, mut again) = (Vec::new(), Vec::new());
        assert!(answer(queries.get(0), 0, &mut reply));
        assert!(!answer(&reply, 0, &mut again));
        for cut in 0..28 {
            assert!(!answer(&queries.get(0)[..cut], 0, &mut again), "cut at {cut}");
        }
    }
}
