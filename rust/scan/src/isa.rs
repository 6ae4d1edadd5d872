//! The machine and one variable in, the set of vector instructions to use out.

use std::sync::OnceLock;

/// A set of vector instructions that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// x86-64 with AVX-512 F, BW, VL, VBMI and VBMI2 (Ice Lake, Zen 4 and later).
    Avx512,
    /// x86-64 with AVX2 and BMI.
    Avx2,
    /// ARM64.
    Neon,
    /// Nothing beyond plain Rust: the oracle of all others.
    Scalar,
}

impl Path {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Scalar];

    /// The name that `UNMOGROWP_SIMD` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Scalar => "scalar",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn is_supported(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        match self {
            Self::Scalar => true,
            Self::Neon => false,
            Self::Avx2 => avx2,
            Self::Avx512 => {
                avx2 && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vbmi2")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_supported(self) -> bool {
        // Every ARM64 has NEON.
        self == Self::Scalar || (self == Self::Neon && cfg!(target_arch = "aarch64"))
    }
}

/// A path this machine is known to have, which is what makes calling its kernels sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Path);

static ACTIVE: OnceLock<Isa> = OnceLock::new();

impl Isa {
    /// The path if this machine has it.
    pub fn of(path: Path) -> Option<Self> {
        path.is_supported().then_some(Self(path))
    }

    /// Every path of this machine, the best first.
    pub fn supported() -> impl Iterator<Item = Self> {
        Path::ALL.into_iter().filter_map(Self::of)
    }

    /// What kernels use in this process: the path named by `UNMOGROWP_SIMD` if the machine has it,
    /// else the best it has. Looked up once.
    pub fn active() -> Self {
        *ACTIVE.get_or_init(|| {
            let wanted = std::env::var("UNMOGROWP_SIMD").unwrap_or_default();
            let named = Self::supported().find(|isa| isa.path().name() == wanted);
            named.or_else(|| Self::supported().next()).unwrap_or(Self(Path::Scalar))
        })
    }

    /// The path.
    pub const fn path(self) -> Path {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Isa, Path};

    #[test]
    fn plain_rust_is_always_there_and_last() {
        assert_eq!(Isa::supported().last().map(Isa::path), Some(Path::Scalar));
        assert!(Isa::supported().any(|isa| isa == Isa::active()));
    }
}
