//! The functions on the bits of whole numbers.

/// A function on bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    And,
    AndNot,
    Left,
    Not,
    Or,
    Right,
    RightZeros,
    Xor,
}

impl Bits {
    /// Its value; none for a shift to the other side. Shifts by more than there are bits leave nothing, as in Go.
    pub(crate) fn of(self, one: i64, other: Option<i64>) -> Option<i64> {
        if self == Self::Not {
            return Some(!one);
        }
        let other = other?;
        let shift = || u32::try_from(other.min(64)).ok();
        Some(match self {
            Self::And => one & other,
            Self::AndNot => one & !other,
            Self::Or => one | other,
            Self::Xor => one ^ other,
            Self::Left => one.checked_shl(shift()?).unwrap_or(0),
            Self::Right => one >> shift()?.min(63),
            Self::RightZeros => one
                .cast_unsigned()
                .checked_shr(shift()?)
                .unwrap_or(0)
                .cast_signed(),
            Self::Not => !one,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_have_no_surprises() {
        for (bits, one, by, want) in [
            (Bits::Left, 1, 3, Some(8)),
            (Bits::Left, 1, 64, Some(0)),
            (Bits::Left, 1, i64::MAX, Some(0)),
            (Bits::Left, 1, -1, None),
            (Bits::Right, -8, 1, Some(-4)),
            (Bits::Right, -8, 100, Some(-1)),
            (Bits::RightZeros, -1, 63, Some(1)),
            (Bits::RightZeros, -1, 64, Some(0)),
        ] {
            assert_eq!(bits.of(one, Some(by)), want, "{bits:?} {one} {by}");
        }
    }
}
