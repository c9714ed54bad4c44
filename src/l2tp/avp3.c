/* SPDX-License-Identifier: MIT
 *
 * The AVPs of L2TPv3: one row per attribute of vendor 0 (RFC 3931 5.4, RFC 4667 4, RFC 9601 6), in
 * the form that avp.c has for v2. Numbers are shared by both versions (RFC 3931 10.1); a number
 * that only v2 uses has a row of the form LEGACY, because an SCCRQ for peers of either version
 * carries such AVPs with M set and an end that speaks v3 has to ignore them (4.7.3).
 *
 * M is what we send. It is never checked on an attribute that is known (5.2).
 */
#include "l2tp/avp.h"
#include "l2tp/msg3.h"

#define ON(type)   (UINT32_C(1) << L2TP_##type)
#define ANY	   UINT32_MAX
#define PUT(field) offsetof(struct l2tp_msg, field)
#define LONG	   AVP_VALUE_MAX

/* Rows: name, form, M, may be hidden, shortest and longest value, place, messages. */
#define U16(name, m, h, field, in)                             \
	{                                                      \
		name, AVP_FORM_U16, m, h, 2, 2, PUT(field), in \
	}
#define U32(name, m, h, field, in)                             \
	{                                                      \
		name, AVP_FORM_U32, m, h, 4, 4, PUT(field), in \
	}
#define U64(name, m, h, field, in)                             \
	{                                                      \
		name, AVP_FORM_U64, m, h, 8, 8, PUT(field), in \
	}
#define BYTES(name, m, h, min, field, in)                             \
	{                                                             \
		name, AVP_FORM_BYTES, m, h, min, LONG, PUT(field), in \
	}
#define NAMED(name)                                                 \
	{                                                           \
		name, AVP_FORM_UNKNOWN, false, false, 0, LONG, 0, 0 \
	}
#define OLD(name)                                                    \
	{                                                            \
		name, AVP_FORM_LEGACY, false, false, 0, LONG, 0, ANY \
	}

#define SCC    (ON(SCCRQ) | ON(SCCRP))
#define CALLED (ON(ICRQ) | ON(OCRQ))
#define REPLY  (ON(ICRP) | ON(OCRP))
#define CONN   (ON(ICCN) | ON(OCCN))
#define SETUP  (CALLED | REPLY | CONN)
#define CALL   (SETUP | ON(CDN) | ON(WEN) | ON(SLI))

/* clang-format off */
static const struct avp_row rows[AVP_TYPE_COUNT] = {
	[0]  = U16("Message Type", true, false, type, ANY),
	[1]  = { "Result Code", AVP_FORM_RESULT, true, false, 2, LONG, 0, ON(STOPCCN) | ON(CDN) },
	[5]  = U64("Tie Breaker", true, false, tie, ON(SCCRQ) | CALLED),
	[7]  = BYTES("Host Name", true, false, 1, host_name, SCC),
	[8]  = BYTES("Vendor Name", false, true, 0, vendor_name, SCC),
	[10] = U16("Receive Window Size", true, false, window, SCC),
	/* Not of RFC 3931; what the peer wants who asks for the older authentication in v3. */
	[11] = BYTES("Challenge", true, true, 1, challenge, SCC),
	[13] = { "Challenge Response", AVP_FORM_BYTES, true, true, 16, 16, PUT(response),
		 ON(SCCRP) | ON(SCCCN) },
	[15] = U32("Serial Number", false, true, serial, CALLED),
	[25] = U32("Physical Channel ID", false, true, channel_id, ON(ICRQ) | REPLY),
	[34] = { "Circuit Errors", AVP_FORM_ERRORS3, false, true, 18, 26, 0, ON(WEN) },
	[36] = { "Random Vector", AVP_FORM_VECTOR, true, false, 1, LONG, 0, ANY },
	[58] = { "Extended Vendor ID", AVP_FORM_EXTENDED, false, true, 6, LONG, 0, ANY },
	[59] = { "Message Digest", AVP_FORM_DIGEST, true, false, 0, LONG, 0, ANY },
	[60] = U32("Router ID", true, false, router_id, SCC),
	[61] = U32("Assigned Control Connection ID", true, true, connection_id, SCC | ON(STOPCCN)),
	[62] = { "Pseudowire Capabilities List", AVP_FORM_LIST, true, true, 2, LONG, PUT(pw_caps),
		 SCC },
	/* In StopCCN not of RFC 3931: the session by which we saw that we lost everything. */
	[63] = U32("Local Session ID", true, true, local_id, CALL | ON(STOPCCN)),
	[64] = U32("Remote Session ID", true, true, remote_id, CALL),
	[65] = { "Assigned Cookie", AVP_FORM_COOKIE, true, true, 0, 8, PUT(cookie), CALLED | REPLY },
	[66] = BYTES("Remote End ID", true, true, 0, end_id, CALLED),
	[68] = U16("Pseudowire Type", true, true, pw_type, CALLED),
	[69] = U16("L2-Specific Sublayer", true, true, sublayer, SETUP),
	[70] = U16("Data Sequencing", true, true, sequencing, SETUP),
	[71] = U16("Circuit Status", true, true, circuit, SETUP | ON(SLI)),
	[72] = BYTES("Preferred Language", false, true, 0, language, SCC),
	[73] = BYTES("Control Message Authentication Nonce", true, false, 1, nonce, SCC),
	[74] = U64("Tx Connect Speed", false, true, tx_speed3, SETUP),
	[75] = U64("Rx Connect Speed", false, true, rx_speed3, SETUP),
	[89] = BYTES("Attachment Group Identifier", false, true, 0, group3, CALLED),
	[90] = BYTES("Local End Identifier", false, true, 0, local_end, CALLED),
	[91] = U16("Interface MTU", false, true, mtu, ON(ICRQ) | ON(ICRP)),
	[103] = { "ECN Capability", AVP_FORM_EMPTY, false, false, 0, 0, 0, SCC },

	/* RFC 2661 and its extensions */
	[2]  = OLD("Protocol Version"),
	[3]  = OLD("Framing Capabilities"),
	[4]  = OLD("Bearer Capabilities"),
	[6]  = OLD("Firmware Revision"),
	[9]  = OLD("Assigned Tunnel ID"),
	[12] = OLD("Q.931 Cause Code"),
	[14] = OLD("Assigned Session ID"),
	[16] = OLD("Minimum BPS"),
	[17] = OLD("Maximum BPS"),
	[18] = OLD("Bearer Type"),
	[19] = OLD("Framing Type"),
	[21] = OLD("Called Number"),
	[22] = OLD("Calling Number"),
	[23] = OLD("Sub-Address"),
	[24] = OLD("Tx Connect Speed (v2)"),
	[26] = OLD("Initial Received LCP CONFREQ"),
	[27] = OLD("Last Sent LCP CONFREQ"),
	[28] = OLD("Last Received LCP CONFREQ"),
	[29] = OLD("Proxy Authen Type"),
	[30] = OLD("Proxy Authen Name"),
	[31] = OLD("Proxy Authen Challenge"),
	[32] = OLD("Proxy Authen ID"),
	[33] = OLD("Proxy Authen Response"),
	[35] = OLD("ACCM"),
	[37] = OLD("Private Group ID"),
	[38] = OLD("Rx Connect Speed (v2)"),
	[39] = OLD("Sequencing Required"),
	[46] = OLD("PPP Disconnect Cause Code"),

	/* Extensions that are not spoken here: RFC 3308, 4951, 4591, 4454, 4720, 4623, 5085, 5515 */
	[47] = NAMED("Control Connection DS"),
	[48] = NAMED("Session DS"),
	[67] = NAMED("Application Code"),
	[76] = NAMED("Failover Capability"),
	[77] = NAMED("Tunnel Recovery"),
	[78] = NAMED("Suggested Control Sequence"),
	[79] = NAMED("Failover Session State"),
	[85] = NAMED("Frame Relay Header Length"),
	[86] = NAMED("ATM Maximum Concatenated Cells"),
	[87] = NAMED("OAM Emulation Required"),
	[88] = NAMED("ATM Alarm Status"),
	[92] = NAMED("FCS Retention"),
	[93] = NAMED("Tunnel Switching Aggregator ID"),
	[94] = NAMED("Maximum Receive Unit"),
	[95] = NAMED("Maximum Reassembled Receive Unit"),
	[96] = NAMED("VCCV Capability"),
	[97] = NAMED("Connect Speed Update"),
	[98] = NAMED("Connect Speed Update Enable"),
	[99] = NAMED("TDM Pseudowire"),
	[100] = NAMED("RTP"),
	[101] = NAMED("PW Switching Point"),
	[102] = NAMED("S-BFD Target Discriminator ID"),
};
/* clang-format on */

const struct avp_row *avp3_row_of(unsigned type)
{
	return type < AVP_TYPE_COUNT && rows[type].name ? &rows[type] : NULL;
}

const char *l2tp3_avp_name(unsigned int type)
{
	const struct avp_row *row = avp3_row_of(type);

	return row ? row->name : NULL;
}
