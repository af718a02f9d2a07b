//! The formats that are built in, one file each.

pub mod junit;
pub mod lvm;
pub mod openhtf;
pub mod qdas;
pub mod stdf;
pub mod tdms;
pub mod wsjf;
pub mod wsxf;
