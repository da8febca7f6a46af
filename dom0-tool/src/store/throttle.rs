//! A limit to what is sent in a second.

use std::num::NonZeroU64;
use std::time::Duration;

/// A bucket that fills at a fixed rate and holds a quarter of a second's worth. What is taken beyond its content has to be waited for.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Bytes a second.
    rate: u64,
    /// When the bucket will have made up for all that was taken; before now by at most what it holds.
    even: Duration,
}

/// What the bucket holds, as time.
const HOLDS: Duration = Duration::from_millis(250);

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: NonZeroU64, now: Duration) -> Self {
        Self {
            rate: rate.get(),
            even: now.saturating_sub(HOLDS),
        }
    }

    /// Takes so many bytes, and says how long to wait before they are sent.
    pub(super) fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        self.even = self.even.max(now.saturating_sub(HOLDS));
        let wait = self.even.saturating_sub(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.even = self.even.saturating_add(cost);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(rate: u64) -> Bucket {
        Bucket::new(NonZeroU64::new(rate).unwrap(), Duration::from_secs(50))
    }

    /// Sends pieces as soon as the bucket allows it; how long that takes.
    fn sends(bucket: &mut Bucket, now: &mut Duration, piece: u64, count: u64) -> Duration {
        let begun = *now;
        for _ in 0..count {
            *now += bucket.take(piece, *now);
        }
        now.saturating_sub(begun)
    }

    #[test]
    fn the_rate_holds_whatever_the_size_of_the_pieces() {
        for piece in [100, 1000, 65_536, 1 << 20] {
            let mut now = Duration::from_secs(50);
            let mut bucket = bucket(1_000_000);
            let count = 20_000_000 / piece;
            let took = sends(&mut bucket, &mut now, piece, count).as_secs_f64();
            // 20 s, less what the bucket held and what the last piece need not wait for.
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let least = 20.0 - 0.25 - 2.0 * piece as f64 / 1e6;
            assert!((least..=20.0).contains(&took), "{piece}: {took}");
        }
    }

    #[test]
    fn a_pause_saves_up_no_more_than_the_bucket_holds() {
        let mut now = Duration::from_secs(50);
        let mut bucket = bucket(1000);
        sends(&mut bucket, &mut now, 1000, 10);
        now += Duration::from_secs(3600);
        let took = sends(&mut bucket, &mut now, 1000, 10);
        assert!(took >= Duration::from_millis(8700), "{took:?}");
    }

    #[test]
    fn a_huge_piece_and_a_slow_rate_end_in_a_long_wait_and_not_in_a_wrong_one() {
        let mut bucket = bucket(1);
        let now = Duration::from_secs(50);
        assert_eq!(bucket.take(u64::MAX, now), Duration::ZERO);
        assert!(bucket.take(1, now) > Duration::from_secs(1 << 30));
    }
}
