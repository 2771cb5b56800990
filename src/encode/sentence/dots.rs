//! Products of whole numbers, four to a sum, in the instructions that processors have for them. Sums are exact, so all
//! kinds give the same.

#![expect(clippy::inline_always, reason = "a function that is not inlined does not take its caller's instructions")]

use super::lanes::LANES;

/// Weights of sixteen outputs for four inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Quads([i8; 4 * LANES]);

impl Quads {
    pub(super) const ZERO: Self = Self([0; 4 * LANES]);

    /// Puts the weights of one output in the order in which they will be read.
    pub(super) fn set(&mut self, order: Order, output: usize, weights: [i8; 4]) {
        for (input, weight) in weights.into_iter().enumerate() {
            let place = match order {
                Order::ByOutput => 4 * output + input,
                Order::ByInput => LANES * input + output,
            };
            self.0[place] = weight;
        }
    }
}

/// How the weights of four inputs and sixteen outputs stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The four of an output beside each other, as instructions for whole numbers want them.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "such instructions are used on x86-64 only"))]
    ByOutput,
    /// The sixteen of an input beside each other, which plain loops are fast with.
    ByInput,
}

/// Sixteen sums of products.
pub(super) trait Dots: Copy {
    fn zero() -> Self;

    /// Adds the four products of each output. Only for a processor that has the instructions.
    fn plus(self, inputs: [u8; 4], weights: &Quads) -> Self;

    fn sums(self) -> [i32; LANES];
}

/// With weights by input; the others have them by output.
#[derive(Clone, Copy)]
pub(super) struct PortableDots([i32; LANES]);

impl Dots for PortableDots {
    #[inline(always)]
    fn zero() -> Self {
        Self([0; LANES])
    }

    #[inline(always)]
    fn plus(mut self, inputs: [u8; 4], weights: &Quads) -> Self {
        for (input, weights) in inputs.into_iter().zip(weights.0.as_chunks::<LANES>().0) {
            for (sum, weight) in self.0.iter_mut().zip(weights) {
                *sum += i32::from(i16::from(input)) * i32::from(i16::from(*weight));
            }
        }
        self
    }

    #[inline(always)]
    fn sums(self) -> [i32; LANES] {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "`cpu.rs` uses these only where the processor has the instructions")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, __m512i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_madd_epi16,
        _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_storeu_si256, _mm512_dpbusd_epi32, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
    };

    use super::{Dots, LANES, Quads};

    /// AVX-512 with its instructions for neural networks.
    #[derive(Clone, Copy)]
    pub(in super::super) struct VnniDots(__m512i);

    impl Dots for VnniDots {
        #[inline(always)]
        fn zero() -> Self {
            Self(unsafe { _mm512_setzero_si512() })
        }

        #[inline(always)]
        fn plus(self, inputs: [u8; 4], weights: &Quads) -> Self {
            unsafe {
                let weights = _mm512_loadu_si512(std::ptr::from_ref(weights).cast());
                Self(_mm512_dpbusd_epi32(self.0, _mm512_set1_epi32(i32::from_le_bytes(inputs)), weights))
            }
        }

        #[inline(always)]
        fn sums(self) -> [i32; LANES] {
            let mut sums = [0; LANES];
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), self.0) };
            sums
        }
    }

    /// AVX2 multiplies bytes only with sums that may overflow, so they become numbers of 16 bits. Of each output the
    /// first two and the last two products are added up apart.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2Dots([__m256i; 4]);

    impl Dots for Avx2Dots {
        #[inline(always)]
        fn zero() -> Self {
            Self([unsafe { _mm256_setzero_si256() }; 4])
        }

        #[inline(always)]
        fn plus(self, inputs: [u8; 4], weights: &Quads) -> Self {
            let [a, b, c, d] = inputs.map(i64::from);
            let inputs = a | b << 16 | c << 32 | d << 48;
            let add = |sums: __m256i, four: usize| unsafe {
                let weights: *const __m128i = weights.0[16 * four..][..16].as_ptr().cast();
                let weights = _mm256_cvtepi8_epi16(_mm_loadu_si128(weights));
                _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_set1_epi64x(inputs), weights))
            };
            let [first, second, third, fourth] = self.0;
            Self([add(first, 0), add(second, 1), add(third, 2), add(fourth, 3)])
        }

        #[inline(always)]
        fn sums(self) -> [i32; LANES] {
            let mut halves = [[0; 8]; 4];
            for (halves, sums) in halves.iter_mut().zip(self.0) {
                unsafe { _mm256_storeu_si256(halves.as_mut_ptr().cast(), sums) };
            }
            let halves = halves.as_flattened();
            std::array::from_fn(|output| halves[2 * output] + halves[2 * output + 1])
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2Dots, VnniDots};
