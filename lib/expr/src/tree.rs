//! The tree that an expression is read into.

use crate::token::Token;

/// A part of the tree and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Node>),
    /// Keys and values by turns.
    Map(Vec<Node>),
    /// The item that a predicate is asked about, or what else it knows: `acc` and `index`.
    Pointer(String),
    /// A name of a `let`.
    Name(String),
    Call {
        name: String,
        args: Vec<Node>,
    },
    /// A method: the value that has it and its arguments.
    Method {
        name: String,
        args: Vec<Node>,
        optional: bool,
    },
    Unary {
        sign: Sign,
        operand: Box<Node>,
    },
    Binary {
        sign: Sign,
        operands: Box<[Node; 2]>,
    },
    Choice {
        parts: Box<[Node; 3]>,
    },
    Index {
        parts: Box<[Node; 2]>,
        optional: bool,
    },
    Slice {
        list: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
    },
    /// Members of members, which are nothing altogether where `?.` meets nothing.
    Chain(Box<Node>),
    Let {
        name: String,
        /// The value, and what it is used in.
        parts: Box<[Node; 2]>,
    },
    /// Expressions of which the last one counts.
    Sequence(Vec<Node>),
}

impl Node {
    /// How many parts there are, itself counted.
    pub(crate) fn count(&self) -> usize {
        let all = |nodes: &[Self]| nodes.iter().map(Self::count).sum::<usize>();
        1 + match &self.kind {
            Kind::List(nodes)
            | Kind::Map(nodes)
            | Kind::Sequence(nodes)
            | Kind::Call { args: nodes, .. }
            | Kind::Method { args: nodes, .. } => all(nodes),
            Kind::Unary { operand: node, .. } | Kind::Chain(node) => node.count(),
            Kind::Binary { operands: parts, .. } | Kind::Index { parts, .. } | Kind::Let { parts, .. } => {
                all(&parts[..])
            }
            Kind::Choice { parts } => all(&parts[..]),
            Kind::Slice { list, from, to } => {
                let ends = [from, to].into_iter().flatten();
                list.count() + ends.map(|end| end.count()).sum::<usize>()
            }
            Kind::Nil
            | Kind::Bool(_)
            | Kind::Int(_)
            | Kind::Float(_)
            | Kind::Str(_)
            | Kind::Bytes(_)
            | Kind::Pointer(_)
            | Kind::Name(_) => 0,
        }
    }
}

/// Operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    Power,
    Coalesce,
    Not,
}

impl Sign {
    /// Whether `not` may stand before the operator.
    pub(crate) const fn can_be_negated(self) -> bool {
        matches!(
            self,
            Self::In | Self::Matches | Self::Contains | Self::StartsWith | Self::EndsWith
        )
    }

    /// Whether `a < b < c` is `a < b && b < c` with this operator.
    pub(crate) const fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual
        )
    }
}

/// Binary operators: how they are written and how strongly they bind.
const BINARY: &[(&str, Sign, u16)] = &[
    ("||", Sign::Or, 10),
    ("or", Sign::Or, 10),
    ("&&", Sign::And, 15),
    ("and", Sign::And, 15),
    ("==", Sign::Equal, 20),
    ("!=", Sign::NotEqual, 20),
    ("<", Sign::Less, 20),
    (">", Sign::Greater, 20),
    ("<=", Sign::LessOrEqual, 20),
    (">=", Sign::GreaterOrEqual, 20),
    ("in", Sign::In, 20),
    ("matches", Sign::Matches, 20),
    ("contains", Sign::Contains, 20),
    ("startsWith", Sign::StartsWith, 20),
    ("endsWith", Sign::EndsWith, 20),
    ("..", Sign::Range, 25),
    ("+", Sign::Plus, 30),
    ("-", Sign::Minus, 30),
    ("*", Sign::Times, 60),
    ("/", Sign::Divide, 60),
    ("%", Sign::Modulo, 60),
    ("**", Sign::Power, 100),
    ("^", Sign::Power, 100),
    ("??", Sign::Coalesce, 500),
];

/// How strongly `not` and `!` bind.
pub(crate) const NOT: u16 = 50;

/// How strongly a sign before a number binds.
pub(crate) const NEGATION: u16 = 90;

/// The binary operator that a token is, and how strongly it binds.
pub(crate) fn binary(token: &Token) -> Option<(Sign, u16)> {
    let text = match token {
        Token::Sign(sign) => sign,
        Token::Word(word) => word.as_str(),
        _ => return None,
    };
    let (_, sign, strength) = BINARY.iter().find(|(known, ..)| *known == text)?;
    Some((*sign, *strength))
}

/// Whether a word is an operator or begins a statement, and so is no name.
pub(crate) fn is_reserved(word: &str) -> bool {
    matches!(word, "not" | "let" | "if" | "else") || BINARY.iter().any(|(known, ..)| *known == word)
}
