//! A seeded generator for the engine's model tests: the same seed, the same operations, on every machine.

/// `SplitMix64`: small, and good enough to find a wheel's mistakes.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below 2^`bits`, for a random number of bits: as often small as large.
    pub(crate) fn below_some_power(&mut self, bits: u64) -> u64 {
        let power = self.below(bits);
        self.below(1 << power)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
