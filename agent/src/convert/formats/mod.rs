//! The formats that are built in, one file or folder each.

use std::sync::Arc;

use super::Converter;

/// Declares the modules, and their converters in the order in which they are listed.
macro_rules! formats {
    ($($module:ident::$converter:ident),* $(,)?) => {
        $(pub mod $module;)*

        /// All of them, in the order in which they are listed.
        #[must_use]
        pub fn all() -> Vec<Arc<dyn Converter>> {
            vec![$(Arc::new($module::$converter)),*]
        }
    };
}

formats! {
    wsjf::Wsjf,
    wsxf::Wsxf,
    wstf::Wstf,
    atml::Atml,
    teststand::TestStand,
    i3070::I3070,
    stdf::Stdf,
    openhtf::OpenHtf,
    takaya::Takaya,
    spea::Spea,
    gr228x::Gr228x,
    spectrum::Spectrum,
    seica::Seica,
    testexec::TestExec,
    junit::JUnit,
    robot::Robot,
    pytest::Pytest,
    xjtag::Xjtag,
    listen::Listen,
    sigmaquest::SigmaQuest,
    stepwize::StepWize,
    saki::Saki,
    qdas::Qdas,
    lvm::Lvm,
    tdms::Tdms,
}
