/* SPDX-License-Identifier: MIT
 *
 * Records of the engine in the journal (src/keeper/store.h), and the way back at start: first the
 * one record of global state, then tunnels, sessions and accounting lines. A record that cannot be
 * read any more is told, and its peer gets a CDN where that is possible (access_load).
 */
#include "daemon.h"

#include "base/fault.h"
#include "base/wire.h"
#include "keeper/layout.h"
#include "keeper/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX (L2TP_SAVE_TUNNEL_MAX + 4096)

_Static_assert(RECORD_MAX >= ACCESS_SAVE_TUNNEL_MAX && RECORD_MAX >= ACCESS_SAVE_SESSION_MAX &&
		       RECORD_MAX >= ACCESS_SAVE_ACCT_MAX && RECORD_MAX >= ACCESS_SAVE_STATE_MAX,
	       "the buffer takes every record");

bool journal_open(struct daemon *d, void *mem, uint64_t size)
{
	char text[STORE_TEXT_MAX] = "";
	int err = 0;

	d->store = store_open(mem, size, &err, text);
	/* for figures alone: what the journal costs */
	d->no_journal = getenv("ADIT_NO_JOURNAL") != NULL;
	if (d->store && d->no_journal)
		daemon_say(d, TRACE_WARNING,
			   "no journal is kept (ADIT_NO_JOURNAL is set): when aditd restarts all "
			   "sessions end");
	if (d->store)
		return true;
	daemon_say(d, TRACE_WARNING,
		   "the journal cannot be used: %s; stop the keeper and start it anew",
		   text[0] ? text : strerror(-err));
	return false;
}

/*
 * The classes of sessions, shortest first. A record that has become too long for one goes to the
 * next and stays there. So of a session that is found in two places, because the end came between
 * writing the one and removing the other, it is the longer one that counts.
 */
static const uint8_t session_classes[] = { LAYOUT_SESSION_SHORT, ACCESS_OBJ_SESSION,
					   LAYOUT_SESSION_LONG };

#define CLASSES (sizeof(session_classes) / sizeof(session_classes[0]))

/* The longest class that has a record of this session; 0 = the shortest, or none has. */
static size_t class_of(const struct daemon *d, uint64_t id)
{
	struct store_record r;
	size_t i = CLASSES - 1;

	while (i && !(store_count(d->store, session_classes[i]) &&
		      store_get(d->store, session_classes[i], id, &r)))
		i--;
	return i;
}

static int put(struct daemon *d, enum access_object kind, uint64_t id, const struct wcur *c)
{
	size_t i, was;
	int rc;

	if (kind != ACCESS_OBJ_SESSION)
		return store_put(d->store, (uint8_t)kind, id, c->buf, c->len);
	was = i = class_of(d, id);
	rc = store_put(d->store, session_classes[i], id, c->buf, c->len);
	/* too long, or a keeper of a former release has made the journal */
	while ((rc == -EMSGSIZE || rc == -EINVAL) && ++i < CLASSES)
		rc = store_put(d->store, session_classes[i], id, c->buf, c->len);
	if (rc == 0 && i != was)
		store_del(d->store, session_classes[was], id);
	return rc;
}

static void del(struct daemon *d, enum access_object kind, uint64_t id)
{
	if (kind != ACCESS_OBJ_SESSION) {
		store_del(d->store, (uint8_t)kind, id);
		return;
	}
	for (size_t i = 0; i < CLASSES; i++)
		store_del(d->store, session_classes[i], id);
}

/* A record as it is found: is it to be given to its engine? Counts what is not what it should be.
 */
bool journal_found(struct journal_lost *lost, enum journal_kind kind, const struct store_record *r)
{
	lost->former += r->state == STORE_FORMER;
	if (r->state != STORE_UNREADABLE || r->id_known)
		return true;
	lost->bad[kind]++;
	return false;
}

void journal_took(struct journal_lost *lost, enum journal_kind kind, int rc)
{
	lost->mute += rc == L2TP3_LOAD_MUTE;
	lost->bad[kind] += rc != 0 && rc != L2TP3_LOAD_MUTE;
}

static size_t list_lost(char *buf, size_t cap, const size_t *bad)
{
	static const char *const names[][2] = {
		[JOURNAL_STATE] = { "record of the numbers given out", "records of numbers" },
		[JOURNAL_TUNNEL] = { "tunnel", "tunnels" },
		[JOURNAL_SESSION] = { "session", "sessions" },
		[JOURNAL_LINE] = { "accounting record", "accounting records" },
	};
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < JOURNAL_KINDS; i++)
		if (bad[i] && len < cap)
			len += (size_t)snprintf(buf + len, cap - len, "%s%zu %s", len ? ", " : "",
						bad[i], names[i][bad[i] > 1]);
	return len;
}

/* One line, whatever was lost. */
static void say_lost(struct daemon *d, const struct journal_lost *lost)
{
	char list[160];

	if (lost->mute)
		daemon_say(d, TRACE_NOTICE,
			   "%zu tunnel%s without a word to the peer: the secret to sign it with is "
			   "no longer in the configuration",
			   lost->mute, lost->mute == 1 ? " ends" : "s end");

	if (list_lost(list, sizeof(list), lost->bad))
		daemon_say(
			d, TRACE_WARNING,
			"the journal is damaged, these cannot be read: %s; what they held ends%s, "
			"and peers are told where they are known",
			list, lost->bad[JOURNAL_LINE] ? " or is missing in the file" : "");
	if (lost->former)
		daemon_say(d, TRACE_WARNING,
			   "the journal is damaged: of %zu objects the last change is lost, they "
			   "go on "
			   "from the one before",
			   lost->former);
}

/* Objects of this kind from one class of the journal. */
static bool load_class(struct daemon *d, enum access_object kind, uint8_t class,
		       struct journal_lost *lost)
{
	static const enum journal_kind kinds[] = { [ACCESS_OBJ_TUNNEL] = JOURNAL_TUNNEL,
						   [ACCESS_OBJ_SESSION] = JOURNAL_SESSION,
						   [ACCESS_OBJ_ACCT] = JOURNAL_LINE,
						   [ACCESS_OBJ_STATE] = JOURNAL_STATE };
	struct store_record r;
	uint64_t pos = 0;

	while (store_walk(d->store, class, &pos, &r)) {
		struct rcur c = rcur_of(r.bytes, r.len);
		int rc;

		if (kind == ACCESS_OBJ_SESSION && r.id_known &&
		    session_classes[class_of(d, r.id)] != class)
			continue;
		/* There is one STATE: that it is lost, the engine has to know. */
		if (!journal_found(lost, kinds[kind], &r) && kind != ACCESS_OBJ_STATE)
			continue;
		rc = access_load(d->access, d->now, kind, r.id, &c);
		if (rc < 0)
			return false;
		FAULT("in-load");
		if (!r.id_known)
			continue;
		journal_took(lost, kinds[kind], rc);
		/* What is of no use is told once. That STATE was lost has to be known until there
		 * is another one; what cannot be read goes with the rest of its kind. */
		if (rc && kind != ACCESS_OBJ_STATE && r.state != STORE_UNREADABLE)
			del(d, kind, r.id);
	}
	return true;
}

static bool load_kind(struct daemon *d, enum access_object kind, struct journal_lost *lost)
{
	if (kind != ACCESS_OBJ_SESSION)
		return load_class(d, kind, (uint8_t)kind, lost);
	for (size_t i = 0; i < CLASSES; i++)
		if (!load_class(d, kind, session_classes[i], lost))
			return false;
	return true;
}

/* Nothing was known when this aditd was started: a keeper is new, or its journal was of no use. */
static bool is_empty(const struct daemon *d)
{
	size_t n = store_count(d->store, ACCESS_OBJ_STATE) +
		   store_count(d->store, ACCESS_OBJ_TUNNEL) +
		   store_count(d->store, ACCESS_OBJ_ACCT);

	for (size_t i = 0; i < CLASSES; i++)
		n += store_count(d->store, session_classes[i]);
	return n == 0;
}

bool journal_load(struct daemon *d)
{
	static const enum access_object kinds[] = { ACCESS_OBJ_STATE, ACCESS_OBJ_TUNNEL,
						    ACCESS_OBJ_SESSION, ACCESS_OBJ_ACCT };
	struct journal_lost lost = { 0 };
	bool first = is_empty(d);
	struct access_summary s;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!load_kind(d, kinds[i], &lost))
			return false;
	access_loaded(d->access, d->now);
	if (first && access_on(d->access, d->now) < 0) {
		daemon_say(d, TRACE_WARNING, "out of memory");
		return false;
	}
	if (!pwire_load(d, &lost))
		return false;
	store_forget_unreadable(d->store);
	access_summary(d->access, &s);
	say_lost(d, &lost);
	if (s.tunnels || s.sessions)
		daemon_say(d, TRACE_NOTICE, "taken over: %u tunnels, %u sessions", s.tunnels,
			   s.sessions);
	return true;
}

static void save(struct daemon *d, enum access_object kind, uint64_t id)
{
	uint8_t buf[RECORD_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));
	int rc;

	access_save(d->access, kind, id, &c);
	rc = c.bad ? -EMSGSIZE : put(d, kind, id, &c);
	if (rc == 0) {
		if (kind != ACCESS_OBJ_ACCT && d->journal_full &&
		    store_room(d->store, (uint8_t)kind))
			d->journal_full = false;
		return;
	}
	/* It goes on without a record: a restart would end this object, nothing else is lost. A
	 * former one would bring back what is no longer so. */
	del(d, kind, id);
	if (!d->journal_full)
		daemon_say(d, TRACE_WARNING,
			   "a record does not fit into the journal (%s); what has none ends when "
			   "aditd restarts",
			   strerror(-rc));
	d->journal_full = true;
}

size_t journal_commit(struct daemon *d)
{
	enum access_object kind;
	size_t n = 0;
	uint64_t id;
	bool gone;

	while (access_dirty(d->access, &kind, &id, &gone)) {
		if (d->no_journal)
			;
		else if (gone)
			del(d, kind, id);
		else
			save(d, kind, id);
		FAULT("in-commit");
		n++;
	}
	return n + pwire_commit(d);
}
