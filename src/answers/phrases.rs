//! What people say to a chatbot beside the matter itself, in English, German, French, Spanish and Dutch. Lower case,
//! apostrophes and accents as people leave them out too; one phrase a line.

/// Said on meeting.
pub(super) const GREETINGS: &str = "\
hi
hello
hey
hiya
howdy
greetings
good morning
good afternoon
good evening
good day
hallo
guten morgen
guten tag
guten abend
moin
servus
grüß gott
bonjour
bonsoir
salut
hola
buenos dias
buenos días
buenas tardes
buenas noches
buenas
goedemorgen
goedemiddag
goedenavond";

/// Said when it is well.
pub(super) const THANKS: &str = "\
thanks
thank you
no thanks
no thank you
nein danke
non merci
no gracias
nee bedankt
many thanks
thx
ty
cheers
much appreciated
appreciate it
appreciated
that worked
it worked
worked
it works
it works now
works now
that works
that helped
it helped
solved
fixed
problem solved
perfect
great
awesome
excellent
danke
vielen dank
besten dank
dankeschön
danke schön
hat geklappt
hat geholfen
funktioniert jetzt
geht jetzt
geht wieder
merci
merci beaucoup
ça marche
ca marche
gracias
muchas gracias
funciona ahora
ya funciona
bedankt
dank je
dank u
het werkt";

/// Said on leaving.
pub(super) const GOODBYES: &str = "\
bye
bye bye
goodbye
good bye
good night
see you
see you later
see ya
have a nice day
have a good day
have a great day
that is all
thats all
that will be all
nothing else
tschüss
tschüß
tschuess
auf wiedersehen
schönen tag
schönen tag noch
au revoir
bonne journée
adios
adiós
hasta luego
tot ziens
doei";

/// Asked of the bot itself.
pub(super) const ABOUT_THE_BOT: &str = "\
who are you
what are you
are you a bot
are you a robot
are you a human
are you human
are you a person
are you a real person
are you real
are you an ai
is this a bot
is this a robot
is this a real person
am i talking to a bot
what can you do
what do you do
how can you help
how can you help me
what is your name
whats your name
how are you
how are you doing
how is it going
hows it going
wer bist du
wer sind sie
bist du ein bot
bist du ein roboter
bist du ein mensch
was kannst du
wie heißt du
wie geht es dir
wie gehts
wie geht es ihnen
qui es tu
qui êtes vous
es tu un robot
ça va
ca va
quien eres
quién eres
eres un robot
como estas
cómo estás
wie ben je
ben je een robot
hoe gaat het";

/// Words that go with these and say nothing.
pub(super) const FILLERS: &str = "\
ok
okay
okey
alright
all right
right
cool
nice
fine
sure
yes
yeah
yep
well
oh
ah
um
hmm
lol
there
again
everyone
everybody
all
team
bot
robot
chatbot
assistant
so much
very much
a lot
for your help
for the help
for helping
you
it
now
today
ja
gut
super
sehr
prima
oui
d'accord
si
sí
vale
please
bitte";

/// Said of what was shown.
pub(super) const REFUSALS: &str = "\
no
nope
nah
not really
that did not help
that didnt help
did not help
didnt help
does not help
doesnt help
it does not help
not helpful
no help
useless
that did not work
that didnt work
did not work
didnt work
does not work
doesnt work
still does not work
still doesnt work
that does not work
not working
still not working
still broken
still the same
the same
same problem
same error
same issue
same thing
tried that
i tried that
i tried that already
already tried
already tried that
i already tried that
i did that
already did that
have done that
that is not it
thats not it
not it
that is wrong
wrong
wrong answer
not what i mean
not what i meant
not what i asked
something else
anything else
what else
another
another one
another answer
another way
next
more
other
try again
nein
ne
hat nicht geholfen
das hat nicht geholfen
hilft nicht
das hilft nicht
funktioniert nicht
das funktioniert nicht
funktioniert immer noch nicht
geht nicht
geht immer noch nicht
immer noch nicht
immer noch
schon probiert
schon versucht
habe ich schon
habe ich schon probiert
habe ich schon versucht
was anderes
etwas anderes
non
ça ne marche pas
ca ne marche pas
ne marche pas
ne fonctionne pas
toujours pas
déjà essayé
deja essaye
autre chose
no funciona
no sirve
no ayuda
no me ayuda
sigue igual
ya lo intenté
ya lo intente
otra cosa
nee
werkt niet
dat werkt niet
helpt niet
al geprobeerd
iets anders";

/// Turns that ask for a person with nothing else in them.
pub(super) const PERSON_TURNS: &str = "\
human
a human
human please
real human
person
person please
real person
a real person
real person please
human being
agent
agent please
live agent
human agent
operator
representative
customer service
customer service representative
someone real
call me
call me back
please call me
please call me back
mensch
mensch bitte
mitarbeiter
mitarbeiter bitte
ein mensch
humain
un humain
conseiller
humano
un humano
agente
operador
medewerker
een mens";

/// A sentence with one of each of these asks for a person.
pub(super) const PERSON_WISHES: &str = "want wanna need like can could may let please prefer rather how get give will \
    möchte moechte kann könnte koennte bitte würde wuerde veux voudrais peux puis pouvez quiero quisiera puedo necesito \
    favor wil kan graag mag";
pub(super) const PERSON_VERBS: &str = "talk speak chat connect transfer escalate forward reach talking speaking \
    call sprechen reden verbinden weiterleiten verbunden telefonieren parler joindre transférer hablar comunicarme \
    pasar pasarme spreken praten doorverbinden doorverbonden";
pub(super) const PERSONS: &str = "human person someone somebody agent representative operator advisor adviser technician \
    engineer colleague people menschen mensch mitarbeiter mitarbeiterin jemandem jemand kollegen techniker berater humain \
    personne quelquun conseiller conseillère opérateur technicien humano persona alguien agente asesor operador técnico \
    mens iemand medewerker persoon support desk helpdesk servicedesk";

/// Words that a person follows at the beginning of a sentence, as a wish for one.
pub(super) const TALKS: &str = "\
speak to
speak with
talk to
talk with
chat with";

/// The same anywhere.
pub(super) const DIRECT_WISHES: &str = "\
get me
give me
put me through to
connect me
transfer me
forward me
hand me over
i want a
i need a human
i want to speak
verbinden sie mich mit
verbinde mich mit
gib mir
passez moi
páseme con";
