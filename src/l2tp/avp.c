/* SPDX-License-Identifier: MIT
 *
 * The AVPs of L2TPv2: one row per attribute of vendor 0, and the octets of one AVP on the wire
 * (RFC 2661 4.1, 4.4; numbers of extensions from the IANA registry).
 *
 *      0                   1                   2                   3
 *      |M|H|rsvd(4)|  Length (10)  |           Vendor ID           |
 *      |       Attribute Type      |  value (Length - 6 octets) ...
 *
 * A row says which lengths are right, whether we set M, whether the value may be hidden, where it
 * goes in struct l2tp_msg and which messages list the attribute. Attributes of extensions that we
 * do not speak have a name but no form: they are "unrecognized" in the sense of 4.1, because an
 * extension that sets M (RFC 4951 Tunnel Recovery) counts on being refused by those who lack it.
 */
#include "l2tp/avp.h"

#define ON(type)   (UINT32_C(1) << L2TP_##type)
#define ANY	   UINT32_MAX
#define PUT(field) offsetof(struct l2tp_msg, field)

/* Rows: name, form, M, may be hidden, shortest and longest value, place, messages. */
#define U16(name, m, h, field, in)                             \
	{                                                      \
		name, AVP_FORM_U16, m, h, 2, 2, PUT(field), in \
	}
#define U32(name, m, h, field, in)                             \
	{                                                      \
		name, AVP_FORM_U32, m, h, 4, 4, PUT(field), in \
	}
#define BYTES(name, m, h, min, max, field, in)                       \
	{                                                            \
		name, AVP_FORM_BYTES, m, h, min, max, PUT(field), in \
	}
#define LONG AVP_VALUE_MAX
#define NAMED(name)                                                 \
	{                                                           \
		name, AVP_FORM_UNKNOWN, false, false, 0, LONG, 0, 0 \
	}

#define ERRORS_SIX  26 /* octets of the Circuit Errors value of v3 */
#define ERRORS_FOUR 18

#define SCC	 (ON(SCCRQ) | ON(SCCRP))
#define CALLED	 (ON(ICRQ) | ON(OCRQ))
#define CONN	 (ON(ICCN) | ON(OCCN))
#define ASSIGNED (ON(ICRQ) | ON(ICRP) | ON(OCRQ) | ON(OCRP) | ON(CDN))

/* clang-format off */
static const struct avp_row rows[AVP_TYPE_COUNT] = {
	[0]  = U16("Message Type", true, false, type, ANY),
	[1]  = { "Result Code", AVP_FORM_RESULT, true, false, 2, LONG, 0, ON(STOPCCN) | ON(CDN) },
	[2]  = U16("Protocol Version", true, false, version, SCC),
	[3]  = U32("Framing Capabilities", true, true, framing_caps, SCC),
	[4]  = U32("Bearer Capabilities", true, true, bearer_caps, SCC),
	[5]  = { "Tie Breaker", AVP_FORM_U64, false, false, 8, 8, PUT(tie), ON(SCCRQ) },
	[6]  = U16("Firmware Revision", false, true, firmware, SCC),
	[7]  = BYTES("Host Name", true, false, 1, LONG, host_name, SCC),
	[8]  = BYTES("Vendor Name", false, true, 0, LONG, vendor_name, SCC),
	[9]  = U16("Assigned Tunnel ID", true, true, tunnel_id, SCC | ON(STOPCCN)),
	[10] = U16("Receive Window Size", true, false, window, SCC),
	[11] = BYTES("Challenge", true, true, 1, LONG, challenge, SCC),
	[12] = { "Q.931 Cause Code", AVP_FORM_Q931, true, false, 3, LONG, 0, ON(CDN) },
	[13] = BYTES("Challenge Response", true, true, 16, 16, response, ON(SCCRP) | ON(SCCCN)),
	[14] = U16("Assigned Session ID", true, true, session_id, ASSIGNED),
	[15] = U32("Call Serial Number", true, true, serial, CALLED),
	[16] = U32("Minimum BPS", true, true, min_bps, ON(OCRQ)),
	[17] = U32("Maximum BPS", true, true, max_bps, ON(OCRQ)),
	[18] = U32("Bearer Type", true, true, bearer_type, CALLED),
	[19] = U32("Framing Type", true, true, framing_type, CONN | ON(OCRQ)),
	[21] = BYTES("Called Number", true, true, 0, LONG, called, CALLED),
	[22] = BYTES("Calling Number", true, true, 0, LONG, calling, ON(ICRQ)),
	[23] = BYTES("Sub-Address", true, true, 0, LONG, sub_address, CALLED),
	[24] = U32("Tx Connect Speed", true, true, tx_speed, CONN),
	[25] = U32("Physical Channel ID", false, true, channel_id, ON(ICRQ) | ON(OCRP)),
	[26] = BYTES("Initial Received LCP CONFREQ", false, true, 0, LONG, proxy[0], ON(ICCN)),
	[27] = BYTES("Last Sent LCP CONFREQ", false, true, 0, LONG, proxy[1], ON(ICCN)),
	[28] = BYTES("Last Received LCP CONFREQ", false, true, 0, LONG, proxy[2], ON(ICCN)),
	[29] = BYTES("Proxy Authen Type", false, true, 2, 2, proxy[3], ON(ICCN)),
	[30] = BYTES("Proxy Authen Name", false, true, 0, LONG, proxy[4], ON(ICCN)),
	[31] = BYTES("Proxy Authen Challenge", false, true, 1, LONG, proxy[5], ON(ICCN)),
	[32] = BYTES("Proxy Authen ID", false, true, 2, 2, proxy[6], ON(ICCN)),
	[33] = BYTES("Proxy Authen Response", false, true, 0, LONG, proxy[7], ON(ICCN)),
	[34] = { "Call Errors", AVP_FORM_ERRORS, true, true, 26, 26, 0, ON(WEN) },
	[35] = { "ACCM", AVP_FORM_ACCM, true, true, 10, 10, 0, ON(SLI) },
	[36] = { "Random Vector", AVP_FORM_VECTOR, true, false, 1, LONG, 0, ANY },
	[37] = BYTES("Private Group ID", false, true, 0, LONG, group, ON(ICCN)),
	[38] = U32("Rx Connect Speed", false, true, rx_speed, CONN),
	[39] = { "Sequencing Required", AVP_FORM_EMPTY, true, false, 0, 0, 0, CONN },
	[46] = BYTES("PPP Disconnect Cause Code", false, true, 5, LONG, ppp_cause, ON(CDN)),

	/* RFC 3301, 3308, 3437, 3573, 3817 */
	[40] = NAMED("Rx Minimum BPS"),
	[41] = NAMED("Rx Maximum BPS"),
	[42] = NAMED("Service Category"),
	[43] = NAMED("Service Name"),
	[44] = NAMED("Calling Sub-Address"),
	[45] = NAMED("VPI/VCI Identifier"),
	[47] = NAMED("Control Connection DS"),
	[48] = NAMED("Session DS"),
	[49] = NAMED("LCP Want Options"),
	[50] = NAMED("LCP Allow Options"),
	[51] = NAMED("LNS Last Sent LCP Confreq"),
	[52] = NAMED("LNS Last Received LCP Confreq"),
	[53] = NAMED("Modem On-Hold Capable"),
	[54] = NAMED("Modem On-Hold Status"),
	[55] = NAMED("PPPoE Relay"),
	[56] = NAMED("PPPoE Relay Response Capability"),
	[57] = NAMED("PPPoE Relay Forward Capability"),
	/* RFC 3931; an end that speaks both versions puts some of these into its v2 SCCRQ, M=0 */
	[58] = NAMED("Extended Vendor ID"),
	[59] = NAMED("Message Digest"),
	[60] = NAMED("Router ID"),
	[61] = NAMED("Assigned Control Connection ID"),
	[62] = NAMED("Pseudowire Capabilities List"),
	[63] = NAMED("Local Session ID"),
	[64] = NAMED("Remote Session ID"),
	[65] = NAMED("Assigned Cookie"),
	[66] = NAMED("Remote End ID"),
	[68] = NAMED("Pseudowire Type"),
	[69] = NAMED("L2-Specific Sublayer"),
	[70] = NAMED("Data Sequencing"),
	[71] = NAMED("Circuit Status"),
	[72] = NAMED("Preferred Language"),
	[73] = NAMED("Control Message Authentication Nonce"),
	[74] = NAMED("Tx Connect Speed (v3)"),
	[75] = NAMED("Rx Connect Speed (v3)"),
	/* RFC 4951, 4045, 5515, 9601 */
	[76] = NAMED("Failover Capability"),
	[77] = NAMED("Tunnel Recovery"),
	[78] = NAMED("Suggested Control Sequence"),
	[79] = NAMED("Failover Session State"),
	[80] = NAMED("Multicast Capability"),
	[81] = NAMED("New Outgoing Sessions"),
	[82] = NAMED("New Outgoing Sessions Acknowledgement"),
	[83] = NAMED("Withdraw Outgoing Sessions"),
	[84] = NAMED("Multicast Packets Priority"),
	[97] = NAMED("Connect Speed Update"),
	[98] = NAMED("Connect Speed Update Enable"),
	[103] = NAMED("ECN Capability"),
};
/* clang-format on */

const struct avp_row *avp_row_of(unsigned type)
{
	return type < AVP_TYPE_COUNT && rows[type].name ? &rows[type] : NULL;
}

const char *l2tp_avp_name(unsigned type)
{
	const struct avp_row *row = avp_row_of(type);

	return row ? row->name : NULL;
}

enum avp_next avp_next(struct rcur *c, struct avp *ret)
{
	uint16_t head, len;

	*ret = (struct avp){ 0 };
	if (rcur_left(c) == 0)
		return AVP_NEXT_END;
	head = rcur_u16(c);
	len = head & AVP_MAX;
	ret->mandatory = head & AVP_FLAG_M; /* zero when there were not even two octets */
	ret->hidden = head & AVP_FLAG_H;
	ret->reserved = head & AVP_RESERVED;
	ret->vendor = rcur_u16(c);
	ret->type = rcur_u16(c);
	if (len < AVP_HEADER) {
		rcur_take(c, SIZE_MAX);
		return AVP_NEXT_BROKEN;
	}
	ret->n = len - AVP_HEADER;
	ret->value = rcur_take(c, ret->n);
	return c->bad ? AVP_NEXT_BROKEN : AVP_NEXT_OK;
}

/* Result, optional error code, optional text (4.4.2). Three octets are a peer's slip: A24. */
static void store_result(struct l2tp_msg *m, struct rcur *c)
{
	m->result = rcur_u16(c);
	if (rcur_left(c) < 2)
		return;
	m->error = rcur_u16(c);
	m->text.n = (uint16_t)rcur_left(c);
	m->text.p = m->text.n ? c->p : NULL;
}

static void store_errors(struct l2tp_msg *m, struct rcur *c)
{
	rcur_u16(c); /* reserved; not checked, V2-6.13-02 */
	for (size_t i = 0; i < 6; i++)
		m->call_errors[i] = rcur_u32(c);
}

/*
 * RFC 3931 5.4.5 draws four counters, hardware and buffer overruns, time-outs and alignment, and
 * says that the AVP is as long as with the six of RFC 2661: V3-6.13-01.
 */
static void store_errors3(struct l2tp_msg *m, struct rcur *c, uint16_t n)
{
	if (n == ERRORS_SIX) {
		store_errors(m, c);
		return;
	}
	rcur_u16(c);
	for (size_t i = 2; i < 6; i++)
		m->call_errors[i] = rcur_u32(c);
}

/* Lengths that are not one range. */
static bool length_good(const struct avp_row *row, uint16_t n)
{
	if (n < row->min || n > row->max)
		return false;
	if (row->form == AVP_FORM_LIST)
		return n % 2 == 0;
	if (row->form == AVP_FORM_COOKIE)
		return n % 4 == 0;
	if (row->form == AVP_FORM_ERRORS3)
		return n == ERRORS_SIX || n == ERRORS_FOUR;
	return true;
}

bool avp_store(struct l2tp_msg *m, const struct avp_row *row, unsigned type, const uint8_t *value,
	       uint16_t n)
{
	void *to = (uint8_t *)m + row->at;
	struct rcur c = rcur_of(value, n);
	struct l2tp_bytes run = { value, n };
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	if (!length_good(row, n))
		return false;
	switch ((enum avp_form)row->form) {
	case AVP_FORM_UNKNOWN:
	case AVP_FORM_VECTOR:
	case AVP_FORM_LEGACY:
	case AVP_FORM_DIGEST:
	case AVP_FORM_EXTENDED:
		return true;
	case AVP_FORM_EMPTY:
		break;
	case AVP_FORM_U16:
		u16 = rcur_u16(&c);
		memcpy(to, &u16, sizeof(u16));
		break;
	case AVP_FORM_U32:
		u32 = rcur_u32(&c);
		memcpy(to, &u32, sizeof(u32));
		break;
	case AVP_FORM_U64:
		u64 = rcur_u64(&c);
		memcpy(to, &u64, sizeof(u64));
		break;
	case AVP_FORM_BYTES:
	case AVP_FORM_LIST:
	case AVP_FORM_COOKIE:
		memcpy(to, &run, sizeof(run));
		break;
	case AVP_FORM_RESULT:
		store_result(m, &c);
		break;
	case AVP_FORM_Q931:
		m->q931_cause = rcur_u16(&c);
		m->q931_msg = rcur_u8(&c);
		break;
	case AVP_FORM_ERRORS:
		store_errors(m, &c);
		break;
	case AVP_FORM_ERRORS3:
		store_errors3(m, &c, n);
		break;
	case AVP_FORM_ACCM:
		rcur_u16(&c);
		m->accm_send = rcur_u32(&c);
		m->accm_recv = rcur_u32(&c);
		break;
	}
	m->have[type / 64] |= UINT64_C(1) << (type % 64);
	return true;
}
