//! The parts that pages are made of. Each has an accessible name, and takes its looks from [`crate::theme`].

mod button;
mod card;
mod chip;
mod connection;
mod counter;
mod empty;
mod error_panel;
mod meter;
mod notice_bar;
mod table;

pub use button::{primary_button, quiet_button};
pub use card::{card, region, section};
pub use chip::{chip, dot};
pub use connection::{connection_banner, connection_chip, connection_page};
pub use counter::counter;
pub use empty::empty_state;
pub use error_panel::{copy_button, error_panel, whole_error_panel};
pub use meter::meter;
pub use notice_bar::notice_bar;
pub use table::{Column, Table};
