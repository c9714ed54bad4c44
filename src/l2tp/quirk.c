/* SPDX-License-Identifier: MIT
 *
 * What known peers get wrong, as data: one row per kind of peer, found by what it says of itself in
 * its SCCRQ or SCCRP (Vendor Name, Host Name, Firmware Revision; `*` and `?` as in a shell), and
 * what is done about it. A profile may name quirks of its own, for peers that the table does not
 * know and for what has to be known before the peer has said anything.
 *
 * A row needs a report from somebody who has met the peer; where it comes from stands beside it.
 */
#include "l2tp/internal.h"

struct quirk_row {
	const char *vendor, *host; /* NULL = any, "" = the AVP is absent or empty */
	uint16_t firmware_first, firmware_last;
	uint32_t quirks;
};

static const struct quirk_row known[] = {
	/* OpenL2TP's notes: Huawei sets M on AVPs that nobody else knows. */
	{ "Huawei*", NULL, 0, 0xffff, L2TP_QUIRK_LAX_MANDATORY },
	/* xl2tpd looks its secret up after it has read the SCCRQ or SCCRP (aaa.c, control.c). */
	{ "xelerance.com", NULL, 0, 0xffff, L2TP_QUIRK_PLAIN_SETUP },
	/* xl2tpd issue 156: AVPs of other lengths than RFC 2661 says. */
	{ "MikroTik*", NULL, 0, 0xffff, L2TP_QUIRK_LAX_LENGTH },
	/* xl2tpd issue 191: phones with Android 9 and 10 do not answer HELLO. Their client calls
	 * itself this and names no vendor. LCP echo tells whether they are there. */
	{ "", "anonymous", 0, 0xffff, L2TP_QUIRK_NO_HELLO },
};

static const struct {
	uint32_t bit;
	const char *name;
} names[] = {
	{ L2TP_QUIRK_PLAIN_SETUP, "plain-setup" },
	{ L2TP_QUIRK_LAX_MANDATORY, "lax-mandatory" },
	{ L2TP_QUIRK_LAX_LENGTH, "lax-length" },
	{ L2TP_QUIRK_NO_HELLO, "no-hello" },
};

const char *l2tp_quirk_name(unsigned int i)
{
	return i < sizeof(names) / sizeof(names[0]) ? names[i].name : NULL;
}

uint32_t l2tp_quirk_bit(unsigned int i)
{
	return i < sizeof(names) / sizeof(names[0]) ? names[i].bit : 0;
}

/* True when the name fits; NULL fits all. */
static bool fits(const char *pattern, const struct l2tp_bytes *name)
{
	char text[L2TP_NAME_MAX];

	if (!pattern)
		return true;
	engine_name(text, sizeof(text), *name);
	return text_glob(pattern, text);
}

uint32_t quirks_known(const struct l2tp_msg *m)
{
	uint32_t quirks = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct quirk_row *row = &known[i];

		if (fits(row->vendor, &m->vendor_name) && fits(row->host, &m->host_name) &&
		    m->firmware >= row->firmware_first && m->firmware <= row->firmware_last)
			quirks |= row->quirks;
	}
	return quirks;
}

uint32_t quirks_of(const struct l2tp_profile *p, const struct l2tp_msg *m)
{
	return p->p.quirks | (p->p.known_quirks_off ? 0 : quirks_known(m));
}
