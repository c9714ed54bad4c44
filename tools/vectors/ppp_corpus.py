#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the seed inputs of tests/fuzz/ppp.c and tests/fuzz/ra.c.

    tools/vectors/ppp_corpus.py tests/fuzz/corpus

Each input of `ppp` begins with two octets of profile (see profile_of() there) and goes on with
steps. The inputs are whole lives of a link in all its variants, so that the fuzzer starts from
every state.
"""
import os
import struct
import sys

LCP, IPCP, IP6CP, PAP, CHAP, EAP, CCP = range(7)
SERVER, CHAPS, PAPS = 16, 4, 8  # second octet; 1, 2: we can PAP, CHAP as peer


def raw(data):
    return bytes([0, len(data)]) + data


def packet(proto, code, ident=1, body=b''):
    return bytes([1, proto, code, ident, len(body)]) + body


def opt(kind, value=b''):
    return bytes([kind, 2 + len(value)]) + value


def ack(proto):
    return bytes([2, proto])


def nak(proto, body):
    return bytes([3, proto, len(body)]) + body


def rej(proto, k):
    return bytes([4, proto, k])


def time(seconds):
    return b'\x05' + struct.pack('!H', int(seconds * 100))


def answer(flags):
    return bytes([6, flags])


GO, CLOSE, RESTART, HEARD, RESPONSE, REFLECT, SLEEP = (
    b'\x07', b'\x08\x10', b'\x09', b'\x0a', b'\x0b', b'\x0e', b'\x0f')


def again(a, b):
    return bytes([12, a, b])


def long(proto, code, n):
    return bytes([13, proto, code, n])


def methods(m, a=0, b=16):
    """m: order of methods (3 bits), encryption (2), all strengths (1), we as peer (2)."""
    return bytes([16, m, a, b])


def ms(ahead=0):
    return bytes([17, ahead])


def eap(kind, what=0):
    return bytes([18, kind, what])


def ask(what):
    return bytes([19, what])


MAGIC = opt(5, b'\1\2\3\4')
lcp = packet(LCP, 1, 1, MAGIC) + ack(LCP)
client_ip = packet(IPCP, 1, 1, opt(3, bytes(4)) + opt(129, bytes(4)) + opt(131, bytes(4)))
client_ip += packet(IPCP, 1, 2, opt(3, bytes([192, 0, 2, 99])) + opt(129, bytes([192, 0, 2, 53])))
ip6 = packet(IP6CP, 1, 1, opt(1, bytes(8))) + packet(IP6CP, 1, 2, opt(1, b'\0\0\0\0\0\0\0\5'))
up4 = ack(IPCP) + client_ip + GO
up6 = ack(IP6CP) + ip6 + GO
login = RESPONSE + answer(9)
life = lcp + login + up4 + ack(IP6CP) + ip6
data = raw(b'\xff\x03\0\x21E') + raw(b'\xff\x03\0\x57`') + raw(b'\x21E')

eap_ms = eap(1) + eap(26, 2)
mppe = opt(18, b'\1\0\0\x40')
ccp = ack(CCP) + packet(CCP, 1, 1, mppe)


def want(auth):
    return packet(LCP, 1, 1, opt(3, auth)) + ack(LCP)


ms_up = methods(8) + lcp + ms() + answer(1) + GO
inputs = {
    'ms2-life': (2, SERVER, methods(0x80, 2, 48) + lcp + ms() + answer(9) + ms() + up4 + up6 + time(20) +
                 ms() + answer(1) + RESTART + time(20) + ms() + answer(0) + time(9)),
    'ms2-retry': (2, SERVER, methods(0x80) + lcp + ms() + answer(8) + ms() + ms(1) + answer(0) + ms(1) +
                  packet(CHAP, 2, 2, b'\1x') + time(9)),
    'ms2-change': (2, SERVER, methods(0x80) + lcp + packet(CHAP, 7, 1) + ms() + answer(0) +
                   packet(CHAP, 7, 2, b'x') + time(9)),
    'ms2-refused': (2, SERVER, methods(0x80) + lcp + ms() + answer(0xb0) + time(9)),
    'ms1-life': (2, SERVER, methods(1) + lcp + ms() + answer(0) + ms(1) + answer(1) + up4 + CLOSE),
    'eap-life': (2, SERVER, methods(2, 2, 48) + lcp + time(3) + eap_ms + answer(1) + eap(26, 3) + eap(26, 3) +
                 up4 + time(20) + eap_ms + answer(1) + eap(26, 4) + time(9)),
    'eap-wrong': (2, SERVER, methods(2) + lcp + eap_ms + answer(0) + time(3) + eap(26, 4) + time(9)),
    'eap-unanswered-failure': (2, SERVER, methods(2) + lcp + eap_ms + answer(0xb8) + time(20)),
    'eap-nak': (2, SERVER, methods(2) + lcp + eap(1) + eap(3, 4) + eap(4) + answer(1) + eap(4) + up4),
    'eap-nak-all': (2, SERVER, methods(2) + lcp + eap(1) + eap(3, 0) + time(9)),
    'eap-md5-wrong': (2, SERVER, methods(3) + lcp + eap(1) + packet(EAP, 2, 2, b'\4\1x') + eap(4) + answer(0) +
                      time(9)),
    'eap-broken': (2, SERVER, methods(2) + lcp + packet(EAP, 2, 1) + packet(EAP, 9, 1, b'\1') + eap(4) +
                   packet(EAP, 1, 1, b'\1') + packet(EAP, 3, 1) + eap(1) + eap(26, 3) + eap(26, 9) +
                   packet(EAP, 2, 2, b'\x1a\2\2\0\x05\xff') + raw(b'\xff\x03\xc2\x27\1\1\0\3') +
                   eap(26, 2) + eap(26, 2)),
    'eap-unanswered': (2, SERVER, methods(2) + lcp + time(40)),
    'eap-not-agreed': (0, SERVER, lcp + packet(EAP, 1, 1, b'\1') + time(1)),
    'methods-naks': (2, SERVER, methods(4) + nak(LCP, opt(3, b'\xc2\x27')) + nak(LCP, opt(3, b'\xc2\x23\x81')) +
                     nak(LCP, opt(3, b'\xc2\x23\x80')) + nak(LCP, opt(3, b'\xc0\x25')) + time(9)),
    'client-ms2': (0, 0, methods(0x85) + want(b'\xc2\x23\x81') + ask(0) + ask(0) + time(3) + ask(1) + ask(1) +
                   packet(CHAP, 1, 61, b'\x01x') + ack(IPCP) + packet(IPCP, 1, 1, opt(3, bytes([10, 0, 0, 1])))),
    'client-ms2-unproven': (0, 0, methods(0x85) + want(b'\xc2\x23\x81') + ask(0) +
                            packet(CHAP, 3, 60, b'S=00 M=x') + time(9)),
    'client-ms2-refused': (0, 0, methods(0x85) + want(b'\xc2\x23\x81') + ask(0) + packet(
        CHAP, 4, 60, b'E=648 R=1 C=00112233445566778899AABBCCDDEEFF V=3 M=') + time(9)),
    'client-ms1': (0, 0, methods(0x85) + want(b'\xc2\x23\x80') + packet(CHAP, 1, 60, b'\x0801234567') +
                   packet(CHAP, 4, 60, b'E=691 R=0') + time(9)),
    'client-eap': (0, 0, methods(0x85) + want(b'\xc2\x27') + packet(EAP, 1, 1, b'\1') +
                   packet(EAP, 1, 1, b'\1') + packet(EAP, 1, 4, b'\2hello') + packet(EAP, 1, 5, b'\x0d') +
                   ask(2) + packet(EAP, 3, 2) + packet(EAP, 1, 9, b'\2wait') + packet(EAP, 1, 8, b'\4\1x') +
                   ask(3) + packet(EAP, 4, 3) + packet(EAP, 3, 3) + ack(IPCP)),
    'client-eap-md5': (0, 0, methods(0x45) + want(b'\xc2\x27') + packet(EAP, 1, 1, b'\1') + ask(2) +
                       packet(EAP, 1, 8, b'\4\xff') + packet(EAP, 1, 9, b'\4\3abc') +
                       packet(IPCP, 1, 1, opt(3, bytes([10, 0, 0, 1]))) + ack(IPCP)),
    'client-eap-refused': (0, 0, methods(0x85) + want(b'\xc2\x27') + ask(2) + packet(
        EAP, 1, 3, b'\x1a\4\7\0\x09E=691') + packet(EAP, 4, 3) + time(9)),
    'client-eap-unproven': (0, 0, methods(0x85) + want(b'\xc2\x27') + ask(2) + packet(
        EAP, 1, 3, b'\x1a\3\7\0\x09S=691') + time(9)),
    'client-mppe': (0, 0, methods(0x8d) + want(b'\xc2\x23\x81') + ask(0) + ask(1) + GO + ccp + ack(IPCP) +
                    RESTART + data),
    'mutual-eap': (0, SERVER, methods(0x82) + want(b'\xc2\x27') + eap_ms + answer(1) + eap(26, 3) + REFLECT +
                   ask(2) + ask(3) + packet(EAP, 3, 3) + up4),
    'mppe': (2, SERVER, ms_up + ccp + up4 + up6 + data + packet(CCP, 14, 3) + packet(CCP, 15, 3) +
             packet(CCP, 13, 3) + RESTART + data + packet(CCP, 1, 9, mppe) + ack(CCP) + data +
             packet(CCP, 5, 9) + time(9)),
    'mppe-early': (2, SERVER, methods(8) + lcp + ms() + answer(1) + packet(CCP, 1, 1, mppe) + client_ip + ip6 +
                   GO + ack(CCP) + data + up4),
    'mppe-required': (2, SERVER, methods(16) + lcp + ms() + answer(1) + GO + rej(CCP, 0) + time(9)),
    'mppe-no-keys': (2, SERVER, methods(17) + lcp + ms() + answer(1) + time(9)),
    'mppe-cannot': (2, SERVER, methods(8) + lcp + ms() + answer(1) + ask(4) + up4),
    'mppe-late': (2, SERVER, methods(8) + lcp + ms() + answer(1) + time(20)),
    'mppe-silence': (2, SERVER, ms_up + time(30) + up4 + RESTART + data),
    'mppe-strengths': (2, SERVER, methods(0x28) + lcp + ms() + answer(1) + GO + nak(CCP, opt(18, b'\1\0\0\xa0')) +
                       nak(CCP, opt(18, b'\0\0\0\x40')) + nak(CCP, opt(18, b'x')) + nak(CCP, opt(17)) +
                       packet(CCP, 1, 1, opt(18, b'\1\0\0\xe1')) + packet(CCP, 1, 2, opt(18, b'\0')) +
                       packet(CCP, 1, 3, opt(17)) + packet(CCP, 1, 4) + ack(CCP) + up4),
    'mppe-protocol-reject': (2, SERVER, ms_up + packet(LCP, 8, 1, b'\x80\xfd') + up4 + data),
    'mppe-nak-no-end': (2, SERVER, ms_up + nak(CCP, opt(18, b'\0\0\0\x40')) * 20 + time(9)),
    'mppe-renegotiate': (2, SERVER, ms_up + ccp + up4 + raw(b'\xff\x03\0\xfdxx') + RESTART +
                         packet(CCP, 1, 9, mppe) + RESTART + packet(LCP, 1, 50, MAGIC) + ack(LCP) + ms() +
                         answer(1) + GO + ccp + up4),
    'silence': (0, SERVER, time(40)),
    'passive': (64, SERVER, time(5) + lcp + ack(IPCP) + client_ip + GO + time(100)),
    'passive-silence': (64, SERVER, time(40)),
    'chap-life': (2, SERVER | CHAPS, life + data + time(100) + CLOSE + time(3)),
    'chap-again': (2, SERVER | CHAPS | 32, life + time(20) + RESPONSE + answer(1) + time(20) +
                   RESPONSE + answer(0) + time(9)),
    'chap-unanswered': (0, SERVER | CHAPS, lcp + time(40)),
    'chap-wrong': (0, SERVER | CHAPS | 64, lcp + RESPONSE + answer(0x08) + RESPONSE + time(3) +
                   RESPONSE + answer(0x48) + time(9)),
    'chap-broken': (0, SERVER | CHAPS, lcp + packet(CHAP, 2, 1, b'\x02ab') + packet(CHAP, 2, 9) +
                    packet(CHAP, 7) + packet(CHAP, 3) + packet(CHAP, 1, 1, b'\1ab')),
    'chap-size': (0, SERVER | CHAPS, lcp + b''.join(
        packet(CHAP, 2, i, b'\x02abalice') for i in range(4))),
    'chap-long-name': (0, SERVER | CHAPS, lcp + b''.join(
        packet(CHAP, 2, i, b'\x10' + bytes(16) + b'n' * 238) for i in range(4)) + answer(1)),
    'chap-reflect': (0, SERVER | CHAPS | 2, packet(LCP, 1, 1, opt(3, b'\xc2\x23\5')) + ack(LCP) +
                     REFLECT + time(9)),
    'pap-life': (2, SERVER | PAPS, lcp + packet(PAP, 1, 1, b'\5alice\6secret') +
                 packet(PAP, 1, 2, b'\5alice\6secret') + packet(PAP, 1, 2, b'\3bob\0') + answer(9) +
                 up4 + packet(PAP, 1, 9, b'\0\0') + CLOSE),
    'pap-wrong': (0, SERVER | PAPS, lcp + packet(PAP, 1, 1, b'\1a\1b') + answer(0) +
                  packet(PAP, 1, 1, b'\1a\1b') + packet(PAP, 1, 2, b'\1a\1b') +
                  packet(PAP, 1, 3, b'\1a\1c') + answer(0) + time(9)),
    'pap-broken': (0, SERVER | PAPS, lcp + packet(PAP, 1, 1, b'\xffa') + packet(PAP, 1) +
                   packet(PAP, 9) + raw(b'\xff\x03\xc0\x23\1\1') + packet(PAP, 2) + time(40)),
    'client-chap': (130, 3, packet(LCP, 1, 1, MAGIC + opt(3, b'\xc2\x23\5')) + ack(LCP) +
                    packet(CHAP, 1, 7, b'\4abcdserver') + time(3) + packet(CHAP, 3, 8) +
                    packet(CHAP, 3, 7, b'welcome') +
                    nak(IPCP, opt(3, bytes([10, 0, 0, 2])) + opt(129, bytes([10, 0, 0, 3]))) +
                    rej(IPCP, 2) + ack(IPCP) + packet(IPCP, 1, 1, opt(3, bytes([10, 0, 0, 1]))) +
                    GO + data + packet(CHAP, 1, 8, b'\4abcdserver') + time(60)),
    'client-chap-refused': (128, 3, packet(LCP, 1, 1, opt(3, b'\xc2\x23\5')) + ack(LCP) +
                            packet(CHAP, 1, 7, b'\4abcd') + packet(CHAP, 4, 7, b'no') + time(9)),
    'client-chap-silence': (128, 3, packet(LCP, 1, 1, opt(3, b'\xc2\x23\5')) + ack(LCP) +
                            packet(CHAP, 1, 7, b'\4abcd') + time(60)),
    'client-pap': (128, 1, packet(LCP, 1, 1, opt(3, b'\xc2\x23\x81')) +
                   packet(LCP, 1, 2, opt(3, b'\xc0\x23')) + ack(LCP) + time(3) +
                   b''.join(packet(PAP, 2, i, b'\2ok') for i in range(4)) +
                   nak(IPCP, opt(3, bytes([10, 0, 0, 2])) + opt(129, bytes(4))) + ack(IPCP) +
                   packet(IPCP, 1, 1, opt(3, bytes([10, 0, 0, 1])))),
    'client-pap-refused': (128, 1, packet(LCP, 1, 2, opt(3, b'\xc0\x23')) + ack(LCP) +
                           b''.join(packet(PAP, 3, i, b'\x09no') for i in range(4)) + time(9)),
    'client-pap-silence': (128, 1, packet(LCP, 1, 2, opt(3, b'\xc0\x23')) + ack(LCP) + time(60)),
    'client-auth-naks': (128, 3, b''.join(packet(LCP, 1, i, opt(3, b'\xc2\x27')) for i in range(8))),
    'client-none': (128, 0, packet(LCP, 1, 1, opt(3, b'\xc2\x23\5')) + packet(LCP, 5, 2) + time(9)),
    'client-no-address': (128, 0, lcp + ack(IPCP) + packet(IPCP, 1, 1, opt(3, bytes([10, 0, 0, 1]))) +
                          time(9)),
    'client-rejected': (128, 0, lcp + rej(IPCP, 0) + time(9)),
    'peer-has-none': (0, 0, lcp + packet(IPCP, 1, 1, opt(3, bytes(4))) + time(90)),
    'mutual': (0, SERVER | CHAPS | 3, packet(LCP, 1, 1, opt(3, b'\xc0\x23')) + ack(LCP) + RESPONSE +
               answer(1) + b''.join(packet(PAP, 2, i) for i in range(4)) + up4),
    'auth-fallback': (0, SERVER | CHAPS | PAPS, nak(LCP, opt(3, b'\xc0\x23')) +
                      nak(LCP, opt(3, b'\xc2\x23\5')) + time(9)),
    'auth-reject': (0, SERVER | CHAPS, rej(LCP, 0) + time(9)),
    'auth-protocol-reject': (0, SERVER | CHAPS, lcp + packet(LCP, 8, 1, b'\xc2\x23') + time(9)),
    'options': (28, SERVER, rej(LCP, 0) + rej(LCP, 0) + rej(LCP, 0) + rej(LCP, 0) +
                packet(LCP, 1, 1, opt(1, b'\0\x40') + opt(2, bytes(4)) + opt(7) + opt(8)) +
                packet(LCP, 1, 1, opt(2, b'') + opt(1, b'\xff\xff') + opt(5, bytes(4))) +
                packet(LCP, 1, 2, opt(7, b'x') + opt(8, b'x') + opt(99)) +
                packet(LCP, 1, 3, opt(1, b'\5\xdc') + opt(7) + opt(8)) + ack(LCP) + up4 + data),
    'naks': (28, SERVER, nak(LCP, opt(1, b'\5\x50') + opt(5, bytes(4)) + opt(7) + opt(8)) +
             nak(LCP, opt(1, b'\0\1')) + nak(LCP, opt(99)) + nak(LCP, b'') + nak(LCP, b'\1') +
             b''.join(nak(LCP, opt(5, bytes([i] * 4))) for i in range(12)) + time(9)),
    'small-mru': (34, SERVER | CHAPS, packet(LCP, 1, 1, opt(1, b'\1\0')) + ack(LCP) + RESPONSE +
                  answer(1) + up4 + packet(IP6CP, 1, 1, opt(1, b'\0' * 8)) + long(LCP, 99, 90) +
                  long(IPCP, 50, 90)),
    'no-end': (0, SERVER, b''.join(packet(LCP, 1, i, opt(1, b'\0\1')) for i in range(30)) + time(9)),
    'many-options': (0, SERVER, packet(LCP, 1, 1, b''.join(opt(20 + i) for i in range(120)))),
    'loop': (0, SERVER, REFLECT * 20 + time(9)),
    'looped-echo': (0, SERVER, lcp + up4 + time(10) + REFLECT + time(10) + REFLECT + time(10) +
                    REFLECT + time(10) + REFLECT + time(9)),
    'echo': (0, SERVER, lcp + up4 + time(10) + packet(LCP, 10, 1, b'\1\2\3\4') + time(10) + HEARD +
             packet(LCP, 9, 1, b'\1\2\3\4hello') + packet(LCP, 11, 1, b'\1\2\3\4') +
             packet(LCP, 9, 1, b'abc') + long(LCP, 9, 99) + time(90)),
    'sleep': (0, SERVER, lcp + up4 + time(5) + SLEEP + time(2) + SLEEP + time(120)),
    'codes': (0, SERVER, lcp + up4 + packet(LCP, 12, 1, b'\1\2\3\4Me 1.0') + packet(LCP, 12, 1) +
              packet(LCP, 13, 1, b'\1\2\3\4\0\0\0\x3csoon') + packet(LCP, 13, 1) +
              packet(LCP, 14, 1) + packet(LCP, 7, 1, b'\x09\1\0\4') + packet(LCP, 7, 1, b'\x09') +
              packet(IPCP, 8, 1) + packet(IPCP, 7, 1, b'\1\1\0\4') + time(9)),
    'code-reject-fatal': (0, SERVER, lcp + up4 + packet(LCP, 7, 1, b'\1\1\0\4') + time(9)),
    'protocol-reject': (2, SERVER, packet(LCP, 8, 1, b'\x80\x57') + lcp +
                        packet(LCP, 8, 1, b'\x80\x57') + packet(LCP, 8, 1, b'\x80') +
                        packet(LCP, 8, 1, b'\0\x21') + up4 + packet(LCP, 8, 1, b'\x80\x21') + time(9)),
    'lcp-rejected': (0, SERVER, lcp + packet(LCP, 8, 1, b'\xc0\x21') + time(9)),
    'unknown-protocols': (0, SERVER, raw(b'\xff\x03\x40\x21abc') + lcp +
                          raw(b'\xff\x03\x40\x21abc') * 12 + raw(b'\xff\x03\x40') + raw(b'') +
                          raw(b'\xff') + raw(b'\x40\x22')),
    'terminate': (0, SERVER, packet(LCP, 5, 1, b'bye') + lcp + up4 + packet(LCP, 5, 9, b'bye') +
                  packet(LCP, 1, 1) + packet(LCP, 5, 9) + time(9)),
    'goodbye-early': (0, SERVER, packet(LCP, 5, 1, b'bye') + time(9)),
    'terminate-ack': (0, SERVER, lcp + up4 + (packet(LCP, 6, 1) + lcp) * 8 + time(9)),
    'renegotiate': (2, SERVER | CHAPS, life + packet(LCP, 1, 50, MAGIC) + ack(LCP) + login + up4 +
                    packet(LCP, 1, 51) + packet(LCP, 1, 52, opt(99)) + time(40)),
    'repeat-request': (0, SERVER, lcp + packet(LCP, 1, 1, MAGIC) * 6 + time(40)),
    'void-question': (0, SERVER | CHAPS, lcp + RESPONSE + packet(LCP, 1, 50, MAGIC) + answer(1) +
                      ack(LCP) + answer(1) + RESPONSE + answer(0x60) + time(9)),
    'slow-owner': (0, SERVER | CHAPS, lcp + RESPONSE + time(40)),
    'hold': (0, SERVER, lcp + ack(IPCP) + client_ip + client_ip + GO + data),
    'hold-expired': (0, SERVER, lcp + ack(IPCP) + client_ip + time(20)),
    'hold-both': (2, SERVER, lcp + ack(IPCP) + client_ip + ack(IP6CP) + ip6 + GO + data),
    'hold-broken-off': (2, SERVER, lcp + ack(IPCP) + client_ip + packet(IPCP, 1, 9, opt(99)) +
                        packet(IPCP, 5, 1) + time(9)),
    'ip6-only': (3, SERVER, lcp + up6 + data + packet(IP6CP, 5, 1) + time(9)),
    'ip6-naks': (3, SERVER, lcp + nak(IP6CP, opt(1, bytes(8))) + nak(IP6CP, opt(1, b'\0' * 7 + b'\1')) +
                 nak(IP6CP, opt(1, b'')) + nak(IP6CP, opt(2)) + packet(IP6CP, 1, 1) +
                 packet(IP6CP, 1, 2, opt(2)) + rej(IP6CP, 0) + packet(IP6CP, 1, 3) + ack(IP6CP)),
    'ip6-no-end': (3, SERVER, lcp + b''.join(packet(IP6CP, 1, i, opt(2)) for i in range(25)) + time(9)),
    'ip6-required': (2, SERVER | 128, packet(LCP, 1, 1, opt(1, b'\4\0')) + lcp +
                     packet(LCP, 8, 1, b'\x80\x57') + time(9)),
    'ip-options': (0, SERVER, lcp + packet(IPCP, 1, 1, opt(1, bytes(8)) + opt(2, b'\0\x2d\x0f\1')) +
                   packet(IPCP, 1, 2, opt(129, b'x') + opt(130, bytes(4))) + packet(IPCP, 1, 3) +
                   packet(IPCP, 1, 4, opt(3, b'xyz')) + nak(IPCP, opt(3, bytes([1, 2, 3, 4]))) +
                   nak(IPCP, opt(3, b'x')) + nak(IPCP, opt(129, bytes(4))) + rej(IPCP, 0) + ack(IPCP)),
    'ip-dns-rejected': (128, 0, lcp + rej(IPCP, 1) + rej(IPCP, 1) +
                        nak(IPCP, opt(129, bytes([10, 0, 0, 9]))) + nak(IPCP, opt(3, bytes([127, 0, 0, 1])))),
    'ip-no-end': (0, SERVER, lcp + b''.join(packet(IPCP, 1, i, opt(3, bytes(4))) for i in range(25)) +
                  time(9)),
    'ip-nak-no-end': (0, SERVER, lcp + b''.join(nak(IPCP, opt(3, bytes([10, 0, 0, i])))
                                               for i in range(1, 20)) + time(9)),
    'ip-terminate': (0, SERVER, lcp + up4 + packet(IPCP, 5, 1) + time(1) + packet(IPCP, 1, 5) + time(20)),
    'ncp-silence': (2, SERVER, lcp + time(100)),
    'no-ip4': (2, SERVER | CHAPS, lcp + RESPONSE + answer(3) + client_ip + up6),
    'no-ip6': (2, SERVER | CHAPS, lcp + RESPONSE + answer(5) + ip6 + up4),
    'neither': (2, SERVER | CHAPS, lcp + RESPONSE + answer(7) + time(9)),
    'restart': (2, SERVER | CHAPS | 32, life + RESTART + data + time(15) + packet(LCP, 9, 1, bytes(4)) +
                RESTART + time(20) + RESPONSE + answer(1) + packet(LCP, 1, 1) + time(20)),
    'restart-pap': (0, SERVER | PAPS, lcp + packet(PAP, 1, 1, b'\5alice\0') + answer(1) + up4 + RESTART +
                    packet(PAP, 1, 2, b'\0\0') + time(60)),
    'restart-one': (2, SERVER, lcp + up4 + RESTART + ip6 + ack(IP6CP) + time(60)),
    'reopen': (0, SERVER, lcp + again(2, 3) + lcp + again(64, SERVER) + CLOSE + again(0, 0) + CLOSE),
    'close-early': (0, SERVER, CLOSE + packet(LCP, 6, 1)),
    'bad-lengths': (0, SERVER, raw(b'\xff\x03\xc0\x21\1\1\0\3') + raw(b'\xff\x03\xc0\x21\1\1\0\xff') +
                    packet(LCP, 1, 1, b'\1') + packet(LCP, 1, 1, b'\1\0') + packet(LCP, 1, 1, b'\1\xff\0') +
                    packet(LCP, 3, 1, b'\1') + packet(LCP, 4, 1, b'\1\0')),
}


def ra_inputs(root):
    """From the header of test vectors: the two packets, and variations."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    text = open(os.path.join(root, '..', '..', 'unit', 'ppp', 'vectors.h'), encoding='ascii').read()
    found = {}
    for name in ('ra', 'rs'):
        quoted = text.split('%s_vector[] =\n' % name)[1].split('"')[1]
        found[name] = bytes(int(quoted[i + 2:i + 4], 16) for i in range(0, len(quoted), 4))
    ra = found['ra']
    found['ra-short'] = ra[:50]
    found['ra-options'] = ra[:56] + bytes([5, 0]) + ra[58:]
    found['ra-hops'] = ra[:7] + b'\x40' + ra[8:]
    many = ra[:56] + ra[64:96] * 10 + ra[96:] * 3
    found['ra-many'] = many[:4] + struct.pack('!H', len(many) - 40) + many[6:]
    bad = bytearray(ra)
    bad[72:76] = b'\xff\xff\xff\xff'
    found['ra-preferred'] = bytes(bad)
    forget = bytearray(ra)
    forget[100:104] = bytes(4)
    found['ra-forget'] = bytes(forget)
    rs = found['rs'] + b'\1\1' + bytes(6)
    rs = rs[:4] + struct.pack('!H', len(rs) - 40) + rs[6:]
    found['rs-option'] = rs
    found['rs-unspecified'] = rs[:8] + bytes(16) + rs[24:]
    return found


def main():
    root = sys.argv[1]
    for target in ('ppp', 'ra'):
        os.makedirs(os.path.join(root, target), exist_ok=True)
    for name, (a, b, steps) in inputs.items():
        with open(os.path.join(root, 'ppp', name), 'wb') as f:
            f.write(bytes([a, b]) + steps)
    for name, data in ra_inputs(root).items():
        with open(os.path.join(root, 'ra', name), 'wb') as f:
            f.write(data)


main()
