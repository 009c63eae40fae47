//! Reads an expression into a tree.

use crate::ExprError;
use crate::token::{Token, split};

/// Parentheses and operators within each other; deeper ones would only exhaust the stack.
const MAX_DEPTH: usize = 100;

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
    List(Vec<Node>),
    /// The item that a predicate is asked about.
    Item,
    /// A name of the last `let`s.
    Name(String),
    Call {
        name: String,
        args: Vec<Node>,
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
    },
    Slice {
        list: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
    },
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

/// Binary operators: how they are written, how strongly they bind, and whether from the right.
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
const NOT: u16 = 50;

/// How strongly a sign before a number binds.
const NEGATION: u16 = 90;

pub(crate) fn parse(text: &str) -> Result<Node, ExprError> {
    let mut parser = Parser {
        tokens: split(text)?,
        at: 0,
        depth: 0,
    };
    let node = parser.sequence()?;
    match parser.next() {
        (Token::End, _) => Ok(node),
        (token, place) => Err(unexpected(&token, place)),
    }
}

fn unexpected(token: &Token, place: usize) -> ExprError {
    ExprError::at(
        place,
        match token {
            Token::End => "unexpected end".to_owned(),
            Token::Int(value) => format!("unexpected `{value}`"),
            Token::Float(value) => format!("unexpected `{value}`"),
            Token::Str(value) => format!("unexpected `{value}`"),
            Token::Word(word) => format!("unexpected `{word}`"),
            Token::Sign(sign) => format!("unexpected `{sign}`"),
        },
    )
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn place(&self) -> usize {
        let last = self.tokens.last().map_or(1, |(_, place)| *place);
        self.tokens.get(self.at).map_or(last, |(_, place)| *place)
    }

    fn next(&mut self) -> (Token, usize) {
        let next = (self.peek().clone(), self.place());
        self.at += 1;
        next
    }

    /// Takes the next token if it is this sign or word.
    fn takes(&mut self, text: &str) -> bool {
        let is = self.sees(text);
        self.at += usize::from(is);
        is
    }

    fn sees(&self, text: &str) -> bool {
        match self.peek() {
            Token::Sign(sign) => *sign == text,
            Token::Word(word) => word == text,
            _ => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), ExprError> {
        if self.takes(text) {
            return Ok(());
        }
        let error = unexpected(self.peek(), self.place());
        Err(ExprError::at(
            error.place,
            format!("{}, expected `{text}`", error.message),
        ))
    }

    /// `let NAME = VALUE;` any number of times, and an expression: each name is put in for its value.
    fn sequence(&mut self) -> Result<Node, ExprError> {
        let mut names: Vec<(String, Node)> = Vec::new();
        while self.takes("let") {
            let (name, place) = self.next();
            let Token::Word(name) = name else {
                return Err(unexpected(&name, place));
            };
            self.expect("=")?;
            let mut value = self.expression(0)?;
            put_in(&mut value, &names)?;
            self.expect(";")?;
            names.push((name, value));
        }
        let mut node = self.expression(0)?;
        put_in(&mut node, &names)?;
        Ok(node)
    }

    /// An expression of operators that bind at least so strongly.
    fn expression(&mut self, least: u16) -> Result<Node, ExprError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError::at(
                self.place(),
                format!("nested more than {MAX_DEPTH} times"),
            ));
        }
        let node = self.operations(least);
        self.depth -= 1;
        node
    }

    fn operations(&mut self, least: u16) -> Result<Node, ExprError> {
        let mut left = self.unary()?;
        let mut length = 0;
        loop {
            length += 1;
            if length > MAX_DEPTH {
                // A long chain is a deep tree.
                return Err(ExprError::at(
                    self.place(),
                    format!("more than {MAX_DEPTH} operators in a row"),
                ));
            }
            let place = self.place();
            if least == 0 && self.sees("|") {
                self.at += 1;
                left = self.piped(left)?;
                continue;
            }
            let negated = self.sees("not");
            let operator = self
                .tokens
                .get(self.at + usize::from(negated))
                .map(|(token, _)| token);
            let found = BINARY.iter().find(|(text, ..)| match operator {
                Some(Token::Sign(sign)) => sign == text,
                Some(Token::Word(word)) => word == text,
                _ => false,
            });
            let Some(&(_, sign, strength)) = found else { break };
            let can_be_negated = matches!(
                sign,
                Sign::In | Sign::Matches | Sign::Contains | Sign::StartsWith | Sign::EndsWith
            );
            if strength < least || (negated && !can_be_negated) {
                break;
            }
            self.at += 1 + usize::from(negated);
            let from_right = sign == Sign::Power;
            let right = self.expression(if from_right { strength } else { strength + 1 })?;
            left = Node {
                place,
                kind: Kind::Binary {
                    sign,
                    operands: Box::new([left, right]),
                },
            };
            if negated {
                left = Node {
                    place,
                    kind: Kind::Unary {
                        sign: Sign::Not,
                        operand: Box::new(left),
                    },
                };
            }
        }
        if least == 0 && self.sees("?") {
            return self.choice(left);
        }
        Ok(left)
    }

    fn choice(&mut self, condition: Node) -> Result<Node, ExprError> {
        let (_, place) = self.next();
        if self.takes(":") {
            let otherwise = self.expression(0)?;
            return Ok(Node {
                place,
                kind: Kind::Choice {
                    parts: Box::new([condition.clone(), condition, otherwise]),
                },
            });
        }
        let then = self.expression(0)?;
        self.expect(":")?;
        let otherwise = self.expression(0)?;
        Ok(Node {
            place,
            kind: Kind::Choice {
                parts: Box::new([condition, then, otherwise]),
            },
        })
    }

    /// `VALUE | function(ARGS)` is `function(VALUE, ARGS)`.
    fn piped(&mut self, value: Node) -> Result<Node, ExprError> {
        let (token, place) = self.next();
        let Token::Word(name) = token else {
            return Err(unexpected(&token, place));
        };
        let mut args = vec![value];
        self.expect("(")?;
        args.extend(self.list(")")?);
        self.postfix(Node {
            place,
            kind: Kind::Call { name, args },
        })
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        let place = self.place();
        let (sign, strength) = match self.peek() {
            Token::Sign("!") => (Sign::Not, NOT),
            Token::Word(word) if word == "not" => (Sign::Not, NOT),
            Token::Sign("-") => (Sign::Minus, NEGATION),
            Token::Sign("+") => (Sign::Plus, NEGATION),
            _ => {
                let node = self.primary()?;
                return self.postfix(node);
            }
        };
        self.at += 1;
        let operand = Box::new(self.expression(strength)?);
        Ok(Node {
            place,
            kind: Kind::Unary { sign, operand },
        })
    }

    fn primary(&mut self) -> Result<Node, ExprError> {
        let (token, place) = self.next();
        let kind = match token {
            Token::Int(value) => Kind::Int(value),
            Token::Float(value) => Kind::Float(value),
            Token::Str(value) => Kind::Str(value),
            Token::Sign("#") => Kind::Item,
            Token::Sign("(") => {
                let node = self.expression(0)?;
                self.expect(")")?;
                return Ok(node);
            }
            Token::Sign("{") => {
                let node = self.expression(0)?;
                self.expect("}")?;
                return Ok(node);
            }
            Token::Sign("[") => Kind::List(self.list("]")?),
            Token::Word(word) => match word.as_str() {
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                "nil" => Kind::Nil,
                _ if self.takes("(") => Kind::Call {
                    name: word,
                    args: self.list(")")?,
                },
                _ => Kind::Name(word),
            },
            token => return Err(unexpected(&token, place)),
        };
        Ok(Node { place, kind })
    }

    fn postfix(&mut self, mut node: Node) -> Result<Node, ExprError> {
        let mut length = 0;
        while self.sees("[") {
            length += 1;
            let (_, place) = self.next();
            if length > MAX_DEPTH {
                return Err(ExprError::at(
                    place,
                    format!("more than {MAX_DEPTH} indices in a row"),
                ));
            }
            let from = if self.sees(":") {
                None
            } else {
                Some(Box::new(self.expression(0)?))
            };
            let kind = if self.takes(":") {
                let to = if self.sees("]") {
                    None
                } else {
                    Some(Box::new(self.expression(0)?))
                };
                Kind::Slice {
                    list: Box::new(node),
                    from,
                    to,
                }
            } else {
                match from {
                    Some(index) => Kind::Index {
                        parts: Box::new([node, *index]),
                    },
                    None => return Err(unexpected(self.peek(), self.place())),
                }
            };
            self.expect("]")?;
            node = Node { place, kind };
        }
        Ok(node)
    }

    /// Expressions between commas, up to a closing sign.
    fn list(&mut self, end: &'static str) -> Result<Vec<Node>, ExprError> {
        let mut nodes = Vec::new();
        while !self.takes(end) {
            if !nodes.is_empty() {
                self.expect(",")?;
                if self.takes(end) {
                    break;
                }
            }
            nodes.push(self.expression(0)?);
        }
        Ok(nodes)
    }
}

/// Puts values in for names, as far as that stays small.
fn put_in(node: &mut Node, names: &[(String, Node)]) -> Result<(), ExprError> {
    let mut budget = 10_000;
    put_in_within(node, names, &mut budget)
}

fn put_in_within(node: &mut Node, names: &[(String, Node)], budget: &mut usize) -> Result<(), ExprError> {
    *budget = budget
        .checked_sub(1)
        .ok_or_else(|| ExprError::at(node.place, "too many values of `let`"))?;
    match &mut node.kind {
        Kind::Name(name) => {
            if let Some((_, value)) = names.iter().rev().find(|(known, _)| known == name) {
                *node = value.clone();
                // Count what was put in.
                return put_in_within(node, &[], budget);
            }
        }
        Kind::List(nodes) | Kind::Call { args: nodes, .. } => {
            for node in nodes {
                put_in_within(node, names, budget)?;
            }
        }
        Kind::Unary { operand, .. } => put_in_within(operand, names, budget)?,
        Kind::Binary { operands: parts, .. } | Kind::Index { parts } => {
            for node in parts.iter_mut() {
                put_in_within(node, names, budget)?;
            }
        }
        Kind::Choice { parts } => {
            for node in parts.iter_mut() {
                put_in_within(node, names, budget)?;
            }
        }
        Kind::Slice { list, from, to } => {
            for node in [Some(list), from.as_mut(), to.as_mut()].into_iter().flatten() {
                put_in_within(node, names, budget)?;
            }
        }
        Kind::Nil | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Str(_) | Kind::Item => {}
    }
    Ok(())
}
