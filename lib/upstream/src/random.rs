//! Numbers that nobody can foresee: message ids and the choice of sockets.
//!
//! They come from the system's generator, a kilobyte at a time, so that a query costs no system call of its own.

use std::cell::RefCell;

const BUFFER_LEN: usize = 1024;

struct Buffer {
    bytes: [u8; BUFFER_LEN],
    used: usize,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = const { RefCell::new(Buffer { bytes: [0; BUFFER_LEN], used: BUFFER_LEN }) };
}

/// The system gave no random bytes. Nothing may be asked then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct NoRandomness;

fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.used + N > BUFFER_LEN {
            getrandom::fill(&mut buffer.bytes).map_err(|_| NoRandomness)?;
            buffer.used = 0;
        }
        let mut taken = [0; N];
        let place = &mut buffer.bytes[buffer.used..buffer.used + N];
        taken.copy_from_slice(place);
        // What was given out must not be found in memory later.
        place.fill(0);
        buffer.used += N;
        Ok(taken)
    })
}

/// 16 random bits.
///
/// # Errors
///
/// The system's generator failed.
pub fn bits16() -> Result<u16, NoRandomness> {
    Ok(u16::from_ne_bytes(bytes()?))
}

/// A random number below `bound`, which is at least 1 and far below 2³²; else 0.
///
/// # Errors
///
/// The system's generator failed.
pub fn below(bound: usize) -> Result<usize, NoRandomness> {
    let random = u64::from(u32::from_ne_bytes(bytes()?));
    // Scaled rather than by remainder: no division, and the bias is below bound / 2³².
    Ok(((random * bound as u64) >> 32) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_use_the_whole_range_evenly() {
        let mut buckets = [0u32; 256];
        for _ in 0..65_536 {
            buckets[usize::from(bits16().unwrap() >> 8)] += 1;
        }
        // 256 are expected in each; ten standard deviations are 160.
        assert!(
            buckets.iter().all(|&count| (96..=416).contains(&count)),
            "{buckets:?}"
        );
    }

    #[test]
    fn choices_stay_in_range_and_reach_all() {
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[below(7).unwrap()] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(below(1).unwrap(), 0);
    }
}
