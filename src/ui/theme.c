#include "ui/theme.h"

#include "ui/cells.h"

/* A colour in each palette: 0xRRGGBB, the nearest of xterm's 256, one of 16. The nearest index is
 * by squared distance over the cube and the greys; the first 16 differ from terminal to terminal
 * and are not used. The hues are those of Okabe and Ito (Color Universal Design, 2008), which the
 * colour-blind tell apart. */
#define SKY        0x56b4e9, 74, 14
#define GREEN      0x009e73, 35, 2
#define ORANGE     0xe69f00, 178, 3
#define VERMILLION 0xd55e00, 166, 9
#define PURPLE     0xcc79a7, 175, 13
#define BLUE       0x0072b2, 25, 4
#define GREY       0x999999, 246, 7
#define FAINT      0x808890, 102, 8
#define OWN        -1, -1, -1

#define FG3(rgb, of256, of16) .fg = rgb, .fg256 = of256, .fg16 = of16
#define BG3(rgb, of256, of16) .bg = rgb, .bg256 = of256, .bg16 = of16
#define FG(...)               FG3(__VA_ARGS__)
#define BG(...)               BG3(__VA_ARGS__)
/* A colour on the terminal's own background. */
#define INK(...) FG(__VA_ARGS__), BG(OWN)
/* In colour and without. */
#define BOLD .bold = true, .mono_bold = true

/* A cell of the heat map: white or black characters, whichever stands out by WCAG's contrast. With
 * 16 colours white is right on blue only. */
#define COLD(rgb, of256) FG(0xffffff, 231, 15), BG(rgb, of256, 4)
#define COOL(rgb, of256) FG(0xffffff, 231, 0), BG(rgb, of256, 6)
#define MILD(rgb, of256) FG(0x000000, 16, 0), BG(rgb, of256, 7)
#define WARM(rgb, of256) FG(0x000000, 16, 0), BG(rgb, of256, 11)

static const struct bp_style STYLES[BP_N_ROLES] = {
    [BP_ROLE_TEXT] = {INK(OWN)},
    [BP_ROLE_DIM] = {INK(FAINT), .mono_dim = true},
    [BP_ROLE_TITLE] = {INK(OWN), BOLD},
    [BP_ROLE_FRAME] = {INK(FAINT), .mono_dim = true},
    [BP_ROLE_FOCUS] = {INK(SKY), BOLD},
    [BP_ROLE_KEY] = {INK(SKY), .mono_underline = true},
    [BP_ROLE_VALUE] = {INK(OWN), BOLD},
    [BP_ROLE_GOOD] = {INK(GREEN), .mono_bold = true},
    [BP_ROLE_WARNING] = {INK(ORANGE), .mono_underline = true},
    [BP_ROLE_ERROR] = {INK(VERMILLION), BOLD, .mono_underline = true},
    [BP_ROLE_SELECTED] = {INK(OWN), .reverse = true, .mono_reverse = true},
    [BP_ROLE_ON] = {INK(GREEN), BOLD, .mono_underline = true},
    [BP_ROLE_OFF] = {INK(FAINT), .mono_dim = true},
    [BP_ROLE_SLIDER] = {INK(PURPLE), BOLD},
    [BP_ROLE_TRACK] = {INK(FAINT), .mono_dim = true},
    [BP_ROLE_CURVE] = {INK(SKY)},
    [BP_ROLE_UNIFORM] = {INK(GREY)},
    [BP_ROLE_BASELINE] = {INK(VERMILLION), .mono_bold = true},
    [BP_ROLE_BOOKMARK] = {INK(ORANGE), .mono_bold = true},
    [BP_ROLE_PINNED] = {INK(PURPLE), .underline = true, .mono_underline = true},
    [BP_ROLE_HATCHED] = {INK(FAINT), .mono_dim = true},

    [BP_ROLE_QUANTIZED] = {INK(BLUE)},
    [BP_ROLE_LOW_RANK] = {INK(SKY)},
    [BP_ROLE_OUTSIDE] = {INK(GREY)},
    [BP_ROLE_CACHE] = {INK(GREEN)},
    [BP_ROLE_TRAINING] = {INK(ORANGE)},
    [BP_ROLE_ACTIVATION] = {INK(PURPLE)},

    /* Cividis (Nunez, Anderton, Renslow, PLOS ONE 13(7), 2018) at 16 even steps of its 256. With 16
     * colours: four groups that get lighter. Without any the glyph of the cell says it. */
    [BP_ROLE_HEAT] = {COLD(0x00224e, 17), .mono_dim = true},
    {COLD(0x002e6c, 17), .mono_dim = true},
    {COLD(0x1e3a6f, 23), .mono_dim = true},
    {COLD(0x35456c, 239), .mono_dim = true},
    {COOL(0x47516c, 240)},
    {COOL(0x575d6d, 59)},
    {COOL(0x666970, 242)},
    {COOL(0x757575, 243)},
    {MILD(0x848279, 244)},
    {MILD(0x948e77, 102)},
    {MILD(0xa59c74, 144)},
    {MILD(0xb7a96e, 143)},
    {WARM(0xc8b866, 179), .mono_bold = true},
    {WARM(0xdbc75a, 185), .mono_bold = true},
    {WARM(0xeed649, 221), .mono_bold = true},
    {WARM(0xfee838, 221), .mono_bold = true},
};

const struct bp_style *bp_theme_style(unsigned role)
{
    return &STYLES[role < BP_N_ROLES ? role : BP_ROLE_TEXT];
}
