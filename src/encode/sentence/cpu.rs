//! Which vector instructions the processor has, and the kernel compiled for each kind: the binary is built for every
//! processor and uses what the one at hand has.

use super::kernel::{self, HeadScratch, Heads, Linear, Norm, Then};

/// Rows and panels whose sums and factors fill the registers, and no more.
#[cfg(target_arch = "x86_64")]
const AVX512_TILE: (usize, usize) = (8, 3);
#[cfg(target_arch = "x86_64")]
const AVX2_TILE: (usize, usize) = (6, 1);
const PORTABLE_TILE: (usize, usize) = (4, 1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cpu {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Cpu {
    /// The best that the processor has.
    pub(super) fn detect() -> Self {
        Self::available()[0]
    }

    /// How many panels of weights the kernel goes through at once.
    pub(super) fn panels(self) -> usize {
        let (_, panels) = match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => AVX512_TILE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => AVX2_TILE,
            Self::Portable => PORTABLE_TILE,
        };
        panels
    }

    /// All that the processor has, the best first.
    pub(super) fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                available.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                available.push(Self::Avx2);
            }
        }
        available.push(Self::Portable);
        available
    }
}

/// A step of the kernel as a method, compiled once for each kind of processor with as many rows and panels as its
/// registers hold.
macro_rules! step {
    ($name:ident($($argument:ident: $type:ty),* $(,)?)) => {
        impl Cpu {
            pub(super) fn $name(self, $($argument: $type),*) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f,fma")]
                fn avx512($($argument: $type),*) {
                    kernel::$name::<true, { AVX512_TILE.0 }, { AVX512_TILE.1 }>($($argument),*);
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) {
                    kernel::$name::<true, { AVX2_TILE.0 }, { AVX2_TILE.1 }>($($argument),*);
                }
                match self {
                    #[cfg(target_arch = "x86_64")]
                    #[expect(unsafe_code, reason = "`available` gives this kind only where the processor has it")]
                    Self::Avx512 => unsafe { avx512($($argument),*) },
                    #[cfg(target_arch = "x86_64")]
                    #[expect(unsafe_code, reason = "`available` gives this kind only where the processor has it")]
                    Self::Avx2 => unsafe { avx2($($argument),*) },
                    Self::Portable => {
                        const FUSED: bool = cfg!(target_arch = "aarch64");
                        kernel::$name::<FUSED, { PORTABLE_TILE.0 }, { PORTABLE_TILE.1 }>($($argument),*);
                    }
                }
            }
        }
    };
}

step!(multiply(linear: &Linear, input: &[f32], then: Then, output: &mut [f32]));
step!(attend(heads: Heads, qkv: &[f32], scratch: &mut HeadScratch, context: &mut [f32]));
step!(normalise(norm: &Norm, rows: &mut [f32]));
