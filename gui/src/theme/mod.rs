//! How everything looks: the only place with colours and sizes.
//!
//! Colour is for state alone; everything else is a shade of grey and one accent for what can be clicked. A page says what
//! something *is* ([`Tone`], [`TextKind`]), never how it looks.

use eframe::egui::{Color32, Context, FontId, RichText, Theme, Ui};

mod follow;
mod icon;
mod palette;
pub mod size;
mod style;

pub use follow::follow;
pub use icon::icon;
pub use palette::{Palette, Shade};

/// How something is; decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// At work, or worth to know.
    Busy,
    /// Not as it should be, but it mends itself.
    Warning,
    /// A person has to act.
    Bad,
    /// Nothing to say.
    Neutral,
}

/// What a text is; decides its size and shade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Name of the window's subject.
    Title,
    /// Name of a part of the page.
    Heading,
    /// Name of a thing.
    Name,
    /// Ordinary text.
    Body,
    /// What explains something else.
    Caption,
    /// A large number.
    Figure,
}

/// Gives a context the looks of Waybill, in light and in dark.
pub fn apply(ctx: &Context) {
    ctx.set_style_of(Theme::Light, style::style(Theme::Light));
    ctx.set_style_of(Theme::Dark, style::style(Theme::Dark));
    // Sizes come from the configuration alone ([`follow`]).
    ctx.options_mut(|options| options.zoom_with_keyboard = false);
}

/// The colours of this part of the window.
#[must_use]
pub fn palette(ui: &Ui) -> &'static Palette {
    palette::of(if ui.visuals().dark_mode { Theme::Dark } else { Theme::Light })
}

/// The background that is seen before anything is drawn.
#[must_use]
pub fn background(dark: bool) -> Color32 {
    palette::of(if dark { Theme::Dark } else { Theme::Light }).background
}

impl TextKind {
    /// Its font.
    #[must_use]
    pub fn font(self) -> FontId {
        FontId::proportional(match self {
            Self::Title => size::TEXT_TITLE,
            Self::Heading => size::TEXT_HEADING,
            Self::Name | Self::Body => size::TEXT_BODY,
            Self::Caption => size::TEXT_CAPTION,
            Self::Figure => size::TEXT_FIGURE,
        })
    }

    /// Its colour.
    #[must_use]
    pub fn colour(self, palette: &Palette) -> Color32 {
        match self {
            Self::Title | Self::Heading | Self::Name | Self::Figure => palette.text_strong,
            Self::Body => palette.text,
            Self::Caption => palette.text_weak,
        }
    }

    /// A text of this kind.
    #[must_use]
    pub fn text(self, ui: &Ui, text: impl Into<String>) -> RichText {
        RichText::new(text).font(self.font()).color(self.colour(palette(ui)))
    }
}
