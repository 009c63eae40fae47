//! Profiles in the format of Go's `pprof` tool: its profile.proto, compressed with gzip.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

/// A profile in the making. Strings, functions and locations that are the same are kept once.
#[derive(Debug)]
pub(crate) struct Profile {
    message: wire::Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    locations: HashMap<Vec<wire::Line>, u64>,
}

/// A function at work, and the line where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) function: &'a str,
    pub(crate) file: &'a str,
    /// 0 if it is not known.
    pub(crate) line: u32,
}

impl<'a> Place<'a> {
    /// One that has nothing but a name.
    pub(crate) fn named(function: &'a str) -> Self {
        Self {
            function,
            file: "",
            line: 0,
        }
    }
}

impl Profile {
    /// A profile whose samples have these values, each with its unit.
    pub(crate) fn new(values: &[(&str, &str)]) -> Self {
        let mut profile = Self {
            message: wire::Profile::default(),
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
        };
        // The format wants it first.
        profile.string("");
        for (kind, unit) in values {
            let value = profile.value_type(kind, unit);
            profile.message.sample_type.push(value);
        }
        profile
    }

    /// What is between two samples.
    pub(crate) fn set_period(&mut self, kind: &str, unit: &str, period: i64) {
        self.message.period_type = Some(self.value_type(kind, unit));
        self.message.period = period;
    }

    /// When it was taken, and how long that took.
    pub(crate) fn set_time(&mut self, start: SystemTime, duration: Duration) {
        let since = start.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.message.time_nanos = nanos(since);
        self.message.duration_nanos = nanos(duration);
    }

    /// Something for whoever reads it.
    pub(crate) fn add_comment(&mut self, text: &str) {
        let text = self.string(text);
        self.message.comment.push(text);
    }

    /// Adds a sample: a call stack, the innermost call first, and a value for each of the kinds. What the compiler has put
    /// into one function stands together in the stack, the innermost first too.
    pub(crate) fn add_sample<'a>(
        &mut self,
        stack: impl IntoIterator<Item = Vec<Place<'a>>>,
        values: Vec<i64>,
        labels: &[(&str, &str)],
    ) {
        let location_id = stack.into_iter().map(|lines| self.location(&lines)).collect();
        let label = labels
            .iter()
            .map(|(key, value)| wire::Label {
                key: self.string(key),
                str: self.string(value),
            })
            .collect();
        self.message.sample.push(wire::Sample {
            location_id,
            value: values,
            label,
        });
    }

    /// The profile as it is sent.
    ///
    /// # Errors
    ///
    /// None: the bytes are written to memory.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.message.encode_to_vec())?;
        encoder.finish()
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> wire::ValueType {
        wire::ValueType {
            kind: self.string(kind),
            unit: self.string(unit),
        }
    }

    fn location(&mut self, lines: &[Place<'_>]) -> u64 {
        let line = |place: &Place<'_>| wire::Line {
            function_id: self.function(place.function, place.file),
            line: place.line.into(),
        };
        let lines: Vec<wire::Line> = lines.iter().map(line).collect();
        let next = self.message.location.len() as u64 + 1;
        let id = *self.locations.entry(lines.clone()).or_insert(next);
        if id == next {
            self.message.location.push(wire::Location { id, line: lines });
        }
        id
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let (name, filename) = (self.string(name), self.string(file));
        let next = self.message.function.len() as u64 + 1;
        let id = *self.functions.entry((name, filename)).or_insert(next);
        if id == next {
            self.message.function.push(wire::Function {
                id,
                name,
                system_name: name,
                filename,
            });
        }
        id
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.strings.get(text) {
            return index;
        }
        let index = self.message.string_table.len() as i64;
        self.message.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// The messages of profile.proto, as far as they are used here.
pub(crate) mod wire {
    /// The whole. Numbers of strings are places in the table.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(crate) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(crate) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub(crate) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(crate) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(crate) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(crate) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(crate) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(crate) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(crate) period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub(crate) comment: Vec<i64>,
    }

    /// What a value means.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(crate) kind: i64,
        #[prost(int64, tag = "2")]
        pub(crate) unit: i64,
    }

    /// A call stack and its values.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(crate) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(crate) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(crate) label: Vec<Label>,
    }

    /// Something else about a sample.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Label {
        #[prost(int64, tag = "1")]
        pub(crate) key: i64,
        #[prost(int64, tag = "2")]
        pub(crate) str: i64,
    }

    /// A place in the program.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Location {
        #[prost(uint64, tag = "1")]
        pub(crate) id: u64,
        #[prost(message, repeated, tag = "4")]
        pub(crate) line: Vec<Line>,
    }

    /// A place in the source.
    #[derive(Clone, Copy, Eq, Hash, PartialEq, prost::Message)]
    pub(crate) struct Line {
        #[prost(uint64, tag = "1")]
        pub(crate) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(crate) line: i64,
    }

    /// A function.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Function {
        #[prost(uint64, tag = "1")]
        pub(crate) id: u64,
        #[prost(int64, tag = "2")]
        pub(crate) name: i64,
        #[prost(int64, tag = "3")]
        pub(crate) system_name: i64,
        #[prost(int64, tag = "4")]
        pub(crate) filename: i64,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use prost::Message;

    use super::wire;

    /// Reads a profile as it was sent.
    pub(crate) fn read(bytes: &[u8]) -> wire::Profile {
        let mut plain = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        wire::Profile::decode(plain.as_slice()).unwrap()
    }

    /// The functions of each sample, the innermost first, and its values.
    pub(crate) fn stacks(profile: &wire::Profile) -> Vec<(Vec<String>, Vec<i64>)> {
        let name = |line: &wire::Line| {
            let function = &profile.function[line.function_id as usize - 1];
            profile.string_table[function.name as usize].clone()
        };
        let stack = |sample: &wire::Sample| {
            let lines = sample
                .location_id
                .iter()
                .flat_map(|id| &profile.location[*id as usize - 1].line);
            (lines.map(name).collect(), sample.value.clone())
        };
        profile.sample.iter().map(stack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_kept_once() {
        let mut profile = Profile::new(&[("samples", "count"), ("cpu", "nanoseconds")]);
        profile.set_period("cpu", "nanoseconds", 10);
        profile.set_time(UNIX_EPOCH + Duration::from_secs(1), Duration::from_secs(2));
        profile.add_comment("see there");
        let inner = || {
            vec![
                Place {
                    line: 7,
                    ..Place::named("inlined")
                },
                Place::named("leaf"),
            ]
        };
        profile.add_sample(
            [inner(), vec![Place::named("main")]],
            vec![1, 10],
            &[("thread", "a")],
        );
        profile.add_sample([inner(), vec![Place::named("other")]], vec![2, 20], &[]);
        let read = testing::read(&profile.finish().unwrap());
        assert_eq!(read.string_table[0], "");
        assert_eq!((read.function.len(), read.location.len()), (4, 3));
        assert_eq!(
            (read.time_nanos, read.duration_nanos, read.period),
            (1_000_000_000, 2_000_000_000, 10)
        );
        assert_eq!(read.string_table[read.comment[0] as usize], "see there");
        assert_eq!(read.sample[0].label.len(), 1);
        let names = |stack: &[&str]| stack.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            testing::stacks(&read),
            [
                (names(&["inlined", "leaf", "main"]), vec![1, 10]),
                (names(&["inlined", "leaf", "other"]), vec![2, 20])
            ]
        );
    }
}
