//! Reads an expression into a tree.

mod postfix;

use crate::ExprError;
use crate::token::{Token, split};
use crate::tree::{Kind, NEGATION, NOT, Node, Sign, binary, is_reserved};

/// Parentheses and operators within each other; deeper ones would only exhaust the stack.
const MAX_DEPTH: usize = 100;

/// Most parts that are put in a second time, as in `a < b < c` and `a ?: b`.
const MAX_COPIES: usize = 10_000;

/// Functions that ask about each item: their second argument is a predicate.
const PREDICATES: &[&str] = &[
    "all",
    "any",
    "count",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "groupBy",
    "map",
    "none",
    "one",
    "reduce",
    "sortBy",
    "sum",
];

pub(crate) fn parse(text: &str) -> Result<Node, ExprError> {
    let mut parser = Parser {
        tokens: split(text)?,
        at: 0,
        depth: 0,
        copies: 0,
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
            Token::Bytes(value) => format!("unexpected `b'{}'`", value.escape_ascii()),
            Token::Word(word) => format!("unexpected `{word}`"),
            Token::Sign(sign) => format!("unexpected `{sign}`"),
        },
    )
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
    copies: usize,
}

type Outcome = Result<Node, ExprError>;

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

    /// A part that stands in a second place as well.
    fn copy(&mut self, node: &Node) -> Outcome {
        self.copies += node.count();
        if self.copies > MAX_COPIES {
            return Err(ExprError::at(node.place, "too much to compare in a row"));
        }
        Ok(node.clone())
    }

    /// Expressions with `;` between them, of which the last one counts.
    fn sequence(&mut self) -> Outcome {
        let place = self.place();
        let mut nodes = vec![self.expression(0)?];
        while self.takes(";") && *self.peek() != Token::End {
            nodes.push(self.expression(0)?);
        }
        Ok(match <[Node; 1]>::try_from(nodes) {
            Ok([node]) => node,
            Err(nodes) => Node {
                place,
                kind: Kind::Sequence(nodes),
            },
        })
    }

    /// An expression of operators that bind at least so strongly.
    fn expression(&mut self, least: u16) -> Outcome {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError::at(
                self.place(),
                format!("nested more than {MAX_DEPTH} times"),
            ));
        }
        let node = if least == 0 && self.sees("let") {
            self.declaration()
        } else if least == 0 && self.sees("if") {
            self.conditional()
        } else {
            self.operations(least)
        };
        self.depth -= 1;
        node
    }

    /// `let NAME = VALUE;` and what the name is used in.
    fn declaration(&mut self) -> Outcome {
        self.at += 1;
        let (name, place) = self.next();
        let name = match name {
            Token::Word(name) if !is_reserved(&name) => name,
            other => return Err(unexpected(&other, place)),
        };
        self.expect("=")?;
        let value = self.expression(0)?;
        self.expect(";")?;
        let parts = Box::new([value, self.sequence()?]);
        Ok(Node {
            place,
            kind: Kind::Let { name, parts },
        })
    }

    /// `if CONDITION { THEN } else { OTHERWISE }`, with another `if` instead of the last braces if need be.
    fn conditional(&mut self) -> Outcome {
        let (_, place) = self.next();
        let condition = self.expression(0)?;
        self.expect("{")?;
        let then = self.sequence()?;
        self.expect("}")?;
        self.expect("else")?;
        let otherwise = if self.sees("if") {
            self.expression(0)?
        } else {
            self.expect("{")?;
            let otherwise = self.sequence()?;
            self.expect("}")?;
            otherwise
        };
        Ok(Node {
            place,
            kind: Kind::Choice {
                parts: Box::new([condition, then, otherwise]),
            },
        })
    }

    fn operations(&mut self, least: u16) -> Outcome {
        let mut left = self.unary()?;
        // The right operand of a comparison just before, and whether a `??` was.
        let (mut compared, mut coalesced) = (None, false);
        for length in 0.. {
            let place = self.place();
            if length >= MAX_DEPTH {
                // A long chain is a deep tree.
                return Err(ExprError::at(
                    place,
                    format!("more than {MAX_DEPTH} operators in a row"),
                ));
            }
            if least == 0 && self.takes("|") {
                left = self.piped(left)?;
                (compared, coalesced) = (None, false);
                continue;
            }
            let negated = self.sees("not");
            let operator = self.tokens.get(self.at + usize::from(negated));
            let Some((sign, strength)) = operator.and_then(|(token, _)| binary(token)) else {
                break;
            };
            if strength < least || (negated && !sign.can_be_negated()) {
                break;
            }
            if coalesced && sign != Sign::Coalesce {
                return Err(ExprError::at(
                    place,
                    "`??` beside another operator needs parentheses",
                ));
            }
            coalesced = sign == Sign::Coalesce;
            self.at += 1 + usize::from(negated);
            let from_right = sign == Sign::Power;
            let right = self.expression(if from_right { strength } else { strength + 1 })?;
            let again = if sign.is_comparison() {
                Some(self.copy(&right)?)
            } else {
                None
            };
            left = match compared.take() {
                Some(before) if sign.is_comparison() => {
                    let next = operation(place, sign, before, right);
                    operation(place, Sign::And, left, next)
                }
                _ => operation(place, sign, left, right),
            };
            compared = again;
            if negated {
                left = negation(place, left);
            }
        }
        if least > 0 {
            return Ok(left);
        }
        while self.sees("?") {
            left = self.choice(left)?;
        }
        Ok(left)
    }

    fn choice(&mut self, condition: Node) -> Outcome {
        let (_, place) = self.next();
        let then = if self.sees(":") {
            self.copy(&condition)?
        } else {
            self.expression(0)?
        };
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
    fn piped(&mut self, value: Node) -> Outcome {
        let (token, place) = self.next();
        let Token::Word(name) = token else {
            return Err(unexpected(&token, place));
        };
        self.expect("(")?;
        let call = self.call(place, name, vec![value])?;
        self.postfix(call)
    }

    /// The arguments of a function, behind the parenthesis that opens them.
    fn call(&mut self, place: usize, name: String, mut args: Vec<Node>) -> Outcome {
        let asks = PREDICATES.contains(&name.as_str());
        let piped = args.len();
        while !self.takes(")") {
            if args.len() > piped {
                self.expect(",")?;
                if self.takes(")") {
                    break;
                }
            }
            args.push(if asks && args.len() == 1 {
                self.predicate()?
            } else {
                self.expression(0)?
            });
        }
        Ok(Node {
            place,
            kind: Kind::Call { name, args },
        })
    }

    /// An expression, within braces or not.
    fn predicate(&mut self) -> Outcome {
        if !self.takes("{") {
            return self.expression(0);
        }
        let node = self.sequence()?;
        self.expect("}")?;
        Ok(node)
    }

    fn unary(&mut self) -> Outcome {
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
        self.postfix(Node {
            place,
            kind: Kind::Unary { sign, operand },
        })
    }
}

fn operation(place: usize, sign: Sign, left: Node, right: Node) -> Node {
    Node {
        place,
        kind: Kind::Binary {
            sign,
            operands: Box::new([left, right]),
        },
    }
}

fn negation(place: usize, node: Node) -> Node {
    Node {
        place,
        kind: Kind::Unary {
            sign: Sign::Not,
            operand: Box::new(node),
        },
    }
}
