//! What must not happen whatever befalls the real program: a kill, a full disk, a flipped byte, a client that is slow
//! or sends the worst that the limits allow. `cargo test --release --test it faults::` runs them all. The long form:
//! `TRIAGE_KILLS=300 TRIAGE_FLIPS=100 TRIAGE_WORST=1`, with `-- --nocapture` for its figures; `TRIAGE_SEED` makes another.

mod checker;
mod damage;
#[cfg(target_os = "linux")]
mod disk;
mod kills;
mod load;
mod peers;
mod terminated;
#[cfg(target_os = "linux")]
mod worst;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("the variable holds a number"))
}

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
