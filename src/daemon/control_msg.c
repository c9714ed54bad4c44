/* SPDX-License-Identifier: MIT
 *
 * A request on the control socket taken apart, and the description of the interface. By itself, so
 * that tests and the fuzzer reach it without a daemon.
 */
#include "control.h"

#include <stdio.h>

const char control_interface[] =
	"# Control of aditd. Lists are streamed: call with \"more\".\n"
	"interface org.adit\n"
	"method Status() -> (status: object)\n"
	"method ShowSessions() -> (session: ?object, count: ?int)\n"
	"method ShowTunnels() -> (tunnel: ?object, count: ?int)\n"
	"method ShowPeers() -> (peer: ?object, count: ?int)\n"
	"method ShowPools() -> (pool: ?object, count: ?int)\n"
	"method ShowDials() -> (dial: ?object, count: ?int)\n"
	"method ShowErrors() -> (error: ?object, count: ?int)\n"
	"method ShowPseudowires() -> (pseudowire: ?object, count: ?int)\n"
	"method ShowConfig() -> (text: string)\n"
	"# With \"more\": the progress, until it is up or has failed.\n"
	"method Connect(name: string) -> (dial: object, session: ?object)\n"
	"method Disconnect(name: string) -> (dial: object)\n"
	"# Ask a peer, in a tunnel that is up, to call a number.\n"
	"method Call(peer: string, number: string, sub_address: ?string) -> (session: string)\n"
	"# One of the three.\n"
	"method Terminate(session: ?string, user: ?string, tunnel: ?int) -> (count: int)\n"
	"# Refuse newcomers and end `rate` sessions a second (100; 0: they end by themselves); "
	"`end`:\n"
	"# take everybody again. Status tells how far it is.\n"
	"method Drain(rate: ?int, end: ?bool) -> (status: object)\n"
	"method Monitor(level: ?string) -> (record: ?object, lost: ?int)\n"
	"# Can the kernel of this machine carry sessions? One call looks anew.\n"
	"method Doctor() -> (finding: ?object, count: ?int)\n"
	"method Reload() -> (changes: string)\n"
	"method CompareConfig(config: string, name: ?string) -> (changes: string)\n"
	"error NotFound (text: string)\n"
	"error Failed (text: string)\n"
	"error BadRequest (text: string)\n";

int control_parse(const char *text, size_t len, struct control_request *ret, char *why)
{
	json_error_t e;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	json_t *method, *parameters;

	if (!root) {
		snprintf(why, 128, "this is not JSON: %.60s at octet %d", e.text, e.position);
		return 1;
	}
	method = json_object_get(root, "method");
	parameters = json_object_get(root, "parameters");
	if (json_is_null(parameters))
		parameters = NULL;
	if (!json_is_object(root) || !json_is_string(method) ||
	    (parameters && !json_is_object(parameters))) {
		snprintf(why, 128,
			 "a call is an object with a string \"method\" and an object "
			 "\"parameters\"");
		json_decref(root);
		return 1;
	}
	*ret = (struct control_request){
		.root = root,
		.method = json_string_value(method),
		.parameters = parameters,
		.more = json_is_true(json_object_get(root, "more")),
		.oneway = json_is_true(json_object_get(root, "oneway")),
	};
	return 0;
}
