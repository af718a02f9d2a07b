//! The formats that are built in, one file each.

pub mod gr228x;
pub mod junit;
pub mod openhtf;
pub mod seica;
pub mod spea;
pub mod spectrum;
pub mod testexec;
pub mod wsjf;
pub mod wsxf;
