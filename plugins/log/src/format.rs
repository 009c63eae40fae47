//! A format, split once into text and what is put in its place.

/// A format, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) parts: Vec<Part>,
    /// The labels that parts name by their place here.
    pub(crate) labels: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text as it is.
    Text(String),
    /// A fact of the query or its answer.
    Field(Field),
    /// A fact that another plugin gives, by its place among the labels.
    Label(usize),
}

/// A fact of a query or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    AnswerClass,
    AnswerKind,
    Bufsize,
    Class,
    Do,
    Duration,
    Flags,
    Id,
    Local,
    Name,
    Opcode,
    Port,
    Proto,
    Rcode,
    Remote,
    ResponseSize,
    Size,
    Type,
}

/// CoreDNS's format of a line, in the way of the Common Log Format of web servers.
pub(crate) const COMMON: &str = "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" \
                                 {rcode} {>rflags} {rsize} {duration}";

/// What `{combined}` adds to it.
const COMBINED_TAIL: &str = " \"{>opcode}\"";

/// What stands where nothing is known.
pub(crate) const EMPTY: &str = "-";

/// What each line begins with.
const LEVEL: &str = "[INFO] ";

impl Field {
    /// Reads a placeholder, braces included.
    fn from_placeholder(text: &str) -> Option<Self> {
        Some(match text {
            "{>bufsize}" => Self::Bufsize,
            "{>do}" => Self::Do,
            "{>id}" => Self::Id,
            "{>opcode}" => Self::Opcode,
            "{>rflags}" => Self::Flags,
            "{class}" => Self::Class,
            "{duration}" => Self::Duration,
            "{local}" => Self::Local,
            "{name}" => Self::Name,
            "{port}" => Self::Port,
            "{proto}" => Self::Proto,
            "{rcode}" => Self::Rcode,
            "{remote}" => Self::Remote,
            "{rsize}" => Self::ResponseSize,
            "{size}" => Self::Size,
            "{type}" => Self::Type,
            _ => return None,
        })
    }

    /// Whether only the answer tells it.
    pub(crate) const fn is_of_answer(self) -> bool {
        matches!(
            self,
            Self::AnswerClass
                | Self::AnswerKind
                | Self::Duration
                | Self::Flags
                | Self::Rcode
                | Self::ResponseSize
        )
    }
}

impl Format {
    /// Splits a format. Labels have values only with the plugin `metadata`.
    pub(crate) fn parse(text: &str, metadata: bool) -> Self {
        let text = text
            .replace("{common}", COMMON)
            .replace("{combined}", &format!("{COMMON}{COMBINED_TAIL}"));
        let mut format = Self {
            parts: vec![Part::Text(LEVEL.to_owned())],
            labels: Vec::new(),
        };
        let mut rest = text.as_str();
        // A placeholder is what stands between a closing brace and the nearest opening one before it, so that formats
        // may have braces of their own, as JSON does.
        while let Some(close) = rest.find('}') {
            let (before, behind) = rest.split_at(close + 1);
            rest = behind;
            let Some(open) = before.rfind('{') else {
                format.push_text(before);
                continue;
            };
            let (text, placeholder) = before.split_at(open);
            if let Some(field) = Field::from_placeholder(placeholder) {
                format.push_text(text);
                format.parts.push(Part::Field(field));
            } else if let Some(label) = placeholder.strip_prefix("{/") {
                format.push_text(text);
                format.push_label(&label[..label.len() - 1], metadata);
            } else {
                format.push_text(before);
            }
        }
        format.push_text(rest);
        format
    }

    /// Whether other plugins are asked for facts.
    pub(crate) fn has_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Whether the kind of the answer is shown.
    pub(crate) fn shows_kind(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Field(Field::AnswerClass | Field::AnswerKind)))
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    fn push_label(&mut self, label: &str, metadata: bool) {
        match label {
            _ if !metadata => self.push_text(EMPTY),
            "log/class" => self.parts.push(Part::Field(Field::AnswerClass)),
            "log/type" => self.parts.push(Part::Field(Field::AnswerKind)),
            _ => {
                let known = self.labels.iter().position(|known| **known == *label);
                let place = known.unwrap_or(self.labels.len());
                if known.is_none() {
                    self.labels.push(label.into());
                }
                self.parts.push(Part::Label(place));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows parts in a way that is easy to read: `[...]` for what is put in.
    fn shown(text: &str, metadata: bool) -> String {
        let format = Format::parse(text, metadata);
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(field) => format!("[{field:?}]"),
            Part::Label(place) => format!("[{}]", format.labels[*place]),
        };
        let shown: String = format.parts.iter().map(part).collect();
        shown.strip_prefix(LEVEL).unwrap().to_owned()
    }

    #[test]
    fn every_placeholder_is_known() {
        for (text, want) in [
            ("{type}{name}{class}{proto}", "[Type][Name][Class][Proto]"),
            ("{size}{remote}{port}{local}", "[Size][Remote][Port][Local]"),
            ("{>id}{>opcode}{>do}{>bufsize}", "[Id][Opcode][Do][Bufsize]"),
            (
                "{rcode}{rsize}{duration}{>rflags}",
                "[Rcode][ResponseSize][Duration][Flags]",
            ),
        ] {
            assert_eq!(shown(text, false), want);
        }
    }

    #[test]
    fn the_short_names_stand_for_whole_formats() {
        let common = "[Remote]:[Port] - [Id] \"[Type] [Class] [Name] [Proto] [Size] [Do] [Bufsize]\" [Rcode] [Flags] \
                      [ResponseSize] [Duration]";
        assert_eq!(shown("{common}", false), common);
        assert_eq!(shown("{combined}", false), format!("{common} \"[Opcode]\""));
        assert_eq!(shown("x {common} y", false), format!("x {common} y"));
    }

    #[test]
    fn braces_that_are_no_placeholder_stay() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("{unknown} {>unknown} {NAME}", "{unknown} {>unknown} {NAME}"),
            ("{ {name} } {{name}} } {name", "{ [Name] } {[Name]} } {name"),
            (
                "{{name}} {} {{}} }{ {name }{ name} {>id {name}",
                "{[Name]} {} {{}} }{ {name }{ name} {>id [Name]",
            ),
            (
                "{\"name\":\"{name}\",\"do\":{>do}}",
                "{\"name\":\"[Name]\",\"do\":[Do]}",
            ),
            ("größe {name} ✓", "größe [Name] ✓"),
        ] {
            assert_eq!(shown(text, false), want, "{text}");
        }
    }

    #[test]
    fn labels_need_metadata() {
        let text = "{/a/b}{/log/type}{/log/class}{/a/b}{/}";
        assert_eq!(shown(text, false), "-----");
        assert_eq!(shown(text, true), "[a/b][AnswerKind][AnswerClass][a/b][]");
        assert_eq!(Format::parse(text, true).labels.len(), 2);
        assert!(Format::parse(text, true).shows_kind() && !Format::parse(text, false).shows_kind());
    }
}
