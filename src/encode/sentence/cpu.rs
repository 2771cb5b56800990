//! Which vector instructions the processor has, and the kernel compiled for each kind: the binary is built for every
//! processor and uses what the one at hand has.

#[cfg(target_arch = "x86_64")]
use super::dots::{Avx2Dots, VnniDots};
use super::{
    attention::{self, HeadScratch, Heads},
    dots::{Order, PortableDots},
    int8::{self, Int8Linear, Int8Rows},
    kernel::{self, Linear, Norm, Then},
};

/// Rows and panels whose sums and factors fill the registers, and no more.
#[cfg(target_arch = "x86_64")]
const AVX512_TILE: (usize, usize) = (8, 3);
#[cfg(target_arch = "x86_64")]
const AVX2_TILE: (usize, usize) = (6, 1);
const PORTABLE_TILE: (usize, usize) = (4, 1);
/// Of weights in eight bits, where there is no instruction for them.
const INT8_TILE: (usize, usize) = (2, 1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cpu {
    /// With products of whole numbers.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
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
            Self::Avx512Vnni | Self::Avx512 => AVX512_TILE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => AVX2_TILE,
            Self::Portable => PORTABLE_TILE,
        };
        panels
    }

    /// The same of weights in eight bits, and how these stand.
    pub(super) fn int8_packing(self) -> (usize, Order) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => (AVX512_TILE.1, Order::ByOutput),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx2 => (INT8_TILE.1, Order::ByOutput),
            Self::Portable => (INT8_TILE.1, Order::ByInput),
        }
    }

    pub(super) fn multiply_int8(
        self,
        linear: &Int8Linear,
        input: &[f32],
        scratch: &mut Int8Rows,
        then: Then,
        output: &mut [f32],
    ) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
        fn vnni(linear: &Int8Linear, input: &[f32], scratch: &mut Int8Rows, then: Then, output: &mut [f32]) {
            int8::multiply::<VnniDots, true, { AVX512_TILE.0 }, { AVX512_TILE.1 }>(
                linear, input, scratch, then, output,
            );
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2(linear: &Int8Linear, input: &[f32], scratch: &mut Int8Rows, then: Then, output: &mut [f32]) {
            int8::multiply::<Avx2Dots, true, { INT8_TILE.0 }, { INT8_TILE.1 }>(linear, input, scratch, then, output);
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "`available` gives this kind only where the processor has it")]
            Self::Avx512Vnni => unsafe { vnni(linear, input, scratch, then, output) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "`available` gives these kinds only where the processor has it")]
            Self::Avx512 | Self::Avx2 => unsafe { avx2(linear, input, scratch, then, output) },
            Self::Portable => {
                const FUSED: bool = cfg!(target_arch = "aarch64");
                int8::multiply::<PortableDots, FUSED, { INT8_TILE.0 }, { INT8_TILE.1 }>(
                    linear, input, scratch, then, output,
                );
            }
        }
    }

    /// All that the processor has, the best first.
    pub(super) fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            if avx512 && is_x86_feature_detected!("avx512vnni") {
                available.push(Self::Avx512Vnni);
            }
            if avx512 {
                available.push(Self::Avx512);
            }
            if avx2 {
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
    ($module:ident::$name:ident($($argument:ident: $type:ty),* $(,)?)) => {
        impl Cpu {
            pub(super) fn $name(self, $($argument: $type),*) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
                fn avx512($($argument: $type),*) {
                    $module::$name::<true, { AVX512_TILE.0 }, { AVX512_TILE.1 }>($($argument),*);
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) {
                    $module::$name::<true, { AVX2_TILE.0 }, { AVX2_TILE.1 }>($($argument),*);
                }
                match self {
                    #[cfg(target_arch = "x86_64")]
                    #[expect(unsafe_code, reason = "`available` gives this kind only where the processor has it")]
                    Self::Avx512Vnni | Self::Avx512 => unsafe { avx512($($argument),*) },
                    #[cfg(target_arch = "x86_64")]
                    #[expect(unsafe_code, reason = "`available` gives this kind only where the processor has it")]
                    Self::Avx2 => unsafe { avx2($($argument),*) },
                    Self::Portable => {
                        const FUSED: bool = cfg!(target_arch = "aarch64");
                        $module::$name::<FUSED, { PORTABLE_TILE.0 }, { PORTABLE_TILE.1 }>($($argument),*);
                    }
                }
            }
        }
    };
}

step!(kernel::multiply(linear: &Linear, input: &[f32], then: Then, output: &mut [f32]));
step!(attention::attend(heads: Heads, qkv: &[f32], scratch: &mut HeadScratch, context: &mut [f32]));
step!(kernel::normalise(norm: &Norm, rows: &mut [f32]));
