//! The sizes, in points.

/// The window's size at its first start.
pub const WINDOW: [f32; 2] = [1120.0, 780.0];
/// The smallest window in which everything can be reached.
pub const WINDOW_MIN: [f32; 2] = [640.0, 420.0];

/// Text that explains.
pub const TEXT_CAPTION: f32 = 12.5;
/// Ordinary text.
pub const TEXT_BODY: f32 = 14.0;
/// Name of a part of a page.
pub const TEXT_HEADING: f32 = 16.0;
/// Name of the station.
pub const TEXT_TITLE: f32 = 20.0;
/// A large number.
pub const TEXT_FIGURE: f32 = 24.0;

/// Between lines that are one text.
pub const GAP_HAIR: f32 = 2.0;
/// Between a mark and its word.
pub const GAP_TINY: f32 = 4.0;
/// Between things that belong together.
pub const GAP_SMALL: f32 = 8.0;
/// Between things.
pub const GAP: f32 = 12.0;
/// Between parts of a page.
pub const GAP_LARGE: f32 = 20.0;

/// Around the contents of a page.
pub const PAGE_MARGIN: i8 = 20;
/// Within a card.
pub const CARD_MARGIN: i8 = 16;
/// Within a panel on a card, sideways.
pub const PANEL_MARGIN: i8 = 12;
/// Within a panel on a card, above and below.
pub const PANEL_MARGIN_Y: i8 = 9;
/// Within a chip, sideways.
pub const CHIP_MARGIN: f32 = 9.0;
/// Height of a chip.
pub const CHIP_HEIGHT: f32 = 22.0;
/// Corners of cards and notices.
pub const CARD_RADIUS: u8 = 8;
/// Corners of buttons.
pub const CONTROL_RADIUS: u8 = 6;
/// The mark of a state.
pub const DOT: f32 = 7.0;
/// Lines between parts.
pub const LINE: f32 = 1.0;
/// Around what has the keyboard's focus.
pub const FOCUS_LINE: f32 = 2.0;
/// Lines of the plot.
pub const PLOT_LINE: f32 = 1.6;
/// How much of a line's colour lies under it.
pub const PLOT_FILL: f32 = 0.12;

/// Height of a button and of the rows of a list.
pub const CONTROL_HEIGHT: f32 = 30.0;
/// Height of the bar at the top.
pub const BAR_HEIGHT: f32 = 64.0;
/// Notices take no more of the window than this; more of them are scrolled.
pub const NOTICES_MAX: f32 = 160.0;
/// Width of the list of pages.
pub const PAGES_WIDTH: f32 = 180.0;
/// Height of a row with one line of text.
pub const ROW: f32 = 24.0;
/// Height of a bar that shows how full something is.
pub const METER_HEIGHT: f32 = 6.0;
/// Seconds between two marks of the plot's time axis.
pub const PLOT_MARK_SECS: f64 = 30.0;
/// Height of the plot.
pub const PLOT_HEIGHT: f32 = 132.0;

/// A column with a number.
pub const COLUMN_NUMBER: f32 = 76.0;
/// A column with a time.
pub const COLUMN_TIME: f32 = 84.0;
/// A column with a time that may have its day.
pub const COLUMN_MOMENT: f32 = 126.0;
/// A column with a word for a state.
pub const COLUMN_STATE: f32 = 104.0;

/// From this width on a page has two columns.
pub const TWO_COLUMNS: f32 = 1060.0;
/// A page does not grow wider than this.
pub const PAGE_MAX: f32 = 1560.0;
/// An explanation in the middle of a page is not wider than this.
pub const READING_WIDTH: f32 = 460.0;
/// An error in the middle of a page is not wider than this.
pub const PANEL_MAX: f32 = 640.0;
/// Above what stands alone on a page.
pub const PAGE_TOP: f32 = 72.0;
/// Share of the first of two columns.
pub const FIRST_COLUMN: f32 = 0.6;

/// How much of what may be out of date can still be seen.
pub const STALE_OPACITY: f32 = 0.6;
