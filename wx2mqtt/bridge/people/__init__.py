"""Recognises people across logins, so that a topic name always stands for the same person.

handle      WeChat's id of a contact; web WeChat gives a new one at each login
topic name  `wife` in `in/wife`; a former topic name still leads to its person
facts       what WeChat says about a contact, in normalised form (`evidence.py`)
pin         a name in the configuration, and how to recognise the person who gets it (`pins.py`)
newcomer    a person made from a contact that matches nobody who is known
closed      a known person who may be a newcomer: gets no messages until the owner decides (`assign`)
stranger    a person who is not among the contacts
removed     a person who is no contact any more
"""
